//! Questions about those whom records are about.

use super::{Client, ClientError, segment};
use crate::api::{
    EraseRequest, ErasedView, ExportRequest, HoldRequest, HoldView, Holds, KnownView, LiftHoldRequest,
    RetentionView,
};

impl Client {
    /// Erases a subject.
    ///
    /// # Errors
    /// [`ClientError`]; refused where a hold keeps it.
    pub async fn erase_subject(&self, request: &EraseRequest) -> Result<ErasedView, ClientError> {
        self.post("/v1/audit/subjects/erase", request).await
    }

    /// Says under which names records know a subject, and records that this was asked.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export_subject(&self, request: &ExportRequest) -> Result<KnownView, ClientError> {
        self.post("/v1/audit/subjects/export", request).await
    }

    /// All holds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn holds(&self) -> Result<Holds, ClientError> {
        self.get("/v1/audit/holds").await
    }

    /// Puts a hold on a subject, or on everything.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hold(&self, request: &HoldRequest) -> Result<HoldView, ClientError> {
        self.post("/v1/audit/holds", request).await
    }

    /// Lifts a hold.
    ///
    /// # Errors
    /// [`ClientError`]; refused when there is none of this id.
    pub async fn lift_hold(&self, id: &str, request: &LiftHoldRequest) -> Result<HoldView, ClientError> {
        self.post(&format!("/v1/audit/holds/{}/lift", segment(id)), request).await
    }

    /// What goes when.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retention(&self) -> Result<RetentionView, ClientError> {
        self.get("/v1/audit/retention").await
    }

    /// Has go what is due, and says what went.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retain(&self) -> Result<RetentionView, ClientError> {
        self.post("/v1/audit/retention/apply", &()).await
    }
}
