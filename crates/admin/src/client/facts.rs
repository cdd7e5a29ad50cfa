//! Questions about facts and exports.

use serde_json::value::RawValue;

use super::{Client, ClientError};
use crate::api::{Exports, FactAnswer, FactQuestion, FactReceipt, Facts};

impl Client {
    /// Every export and how it stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn exports(&self) -> Result<Exports, ClientError> {
        self.get("/v1/exports").await
    }

    /// Every fact and how it stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn facts(&self) -> Result<Facts, ClientError> {
        self.get("/v1/facts").await
    }

    /// Asks for a fact now.
    ///
    /// # Errors
    /// [`ClientError`]; refused with `LG-F007` when there is none of this name.
    pub async fn ask_fact(&self, question: &FactQuestion) -> Result<FactAnswer, ClientError> {
        self.post("/v1/facts/ask", question).await
    }

    /// Brings a signed statement.
    ///
    /// # Errors
    /// [`ClientError`]; refused when it is not signed by the key of the configuration, or not new.
    pub async fn push_fact(&self, signed: &RawValue) -> Result<FactReceipt, ClientError> {
        self.post("/v1/facts/push", &signed).await
    }
}
