//! Questions about cryptographic agility, and changes of it.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::{Client, ClientError};
use crate::api::{
    ApplyRequest, BanRequest, Change, CryptoShow, Drill, DrillRequest, InventoryFormat, LiftRequest,
    Migration, Plan, PlanRequest, RollbackRequest, RotateRootRequest, RotatedRoot,
};

/// Longest wait for a change in seconds: new keys and certificates of the slowest algorithm, a self-test of every
/// profile, a record on the disk.
const CHANGE_WAIT: Duration = Duration::from_secs(120);

impl Client {
    /// What is in force, everywhere, and why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn crypto(&self) -> Result<CryptoShow, ClientError> {
        self.get("/v1/crypto").await
    }

    /// What a change of profile would do.
    ///
    /// # Errors
    /// [`ClientError`]; refused when the profile is unknown or cannot be used, or a place is unknown.
    pub async fn plan(&self, request: &PlanRequest) -> Result<Plan, ClientError> {
        self.change("/v1/crypto/plan", request).await
    }

    /// Puts a profile in force.
    ///
    /// # Errors
    /// [`ClientError`]; refused with `LG-K003` when peers would be cut off and that was not asked for.
    pub async fn apply(&self, request: &ApplyRequest) -> Result<Change, ClientError> {
        self.change("/v1/crypto/apply", request).await
    }

    /// Takes the last change back.
    ///
    /// # Errors
    /// [`ClientError`]; refused with `LG-K004` when there is nothing to take back.
    pub async fn rollback(&self, request: &RollbackRequest) -> Result<Change, ClientError> {
        self.change("/v1/crypto/rollback", request).await
    }

    /// Forbids an algorithm, or one implementation of it.
    ///
    /// # Errors
    /// [`ClientError`]; refused with `LG-K005` when some place would have nothing left.
    pub async fn ban(&self, request: &BanRequest) -> Result<Change, ClientError> {
        self.change("/v1/crypto/ban", request).await
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// [`ClientError`]; refused with `LG-K006` when there is no such ban.
    pub async fn lift(&self, request: &LiftRequest) -> Result<Change, ClientError> {
        self.change("/v1/crypto/lift", request).await
    }

    /// How far the links have followed the last change.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn migration(&self) -> Result<Migration, ClientError> {
        self.get("/v1/crypto/migration").await
    }

    /// Rehearses an emergency.
    ///
    /// # Errors
    /// [`ClientError`]; refused when the drill is unknown.
    pub async fn drill(&self, request: &DrillRequest) -> Result<Drill, ClientError> {
        self.change("/v1/crypto/drill", request).await
    }

    /// Every link, key, certificate and algorithm in use, as the JSON text of that form.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn inventory(&self, format: InventoryFormat) -> Result<Box<RawValue>, ClientError> {
        let path = format!("/v1/crypto/inventory?format={}", format.name());
        let answer = self.exchange(Method::GET, &path, Bytes::new()).await?;
        serde_json::from_slice(&answer).map_err(|error| self.foreign(&error))
    }

    /// Replaces a root of the authority; both are trusted for a while.
    ///
    /// # Errors
    /// [`ClientError`]; refused when the authority has no root of that algorithm.
    pub async fn rotate_root(&self, request: &RotateRootRequest) -> Result<RotatedRoot, ClientError> {
        self.change("/v1/identity/rotate-root", request).await
    }

    async fn change<T: crate::api::Document + serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, ClientError> {
        let patient = Self { answer_max: CHANGE_WAIT, ..self.clone() };
        patient.post(path, body).await
    }
}
