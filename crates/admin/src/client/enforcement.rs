//! Questions about revocation and approvals.

use super::{Client, ClientError, segment};
use crate::api::{
    ApproveRequest, HeldCall, HeldCalls, Identities, MadeRevocation, RejectRequest, RestoreRequest, Restored,
    RevokeRequest,
};

impl Client {
    /// Who was seen, who is invited and who is locked out.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn identities(&self) -> Result<Identities, ClientError> {
        self.get("/v1/identities").await
    }

    /// Locks out an agent, key, role, token or certificate, and cuts its links.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke(&self, request: &RevokeRequest) -> Result<MadeRevocation, ClientError> {
        self.post("/v1/identity/revoke", request).await
    }

    /// Lifts a revocation.
    ///
    /// # Errors
    /// [`ClientError`]; refused when nothing is revoked under the target.
    pub async fn restore(&self, request: &RestoreRequest) -> Result<Restored, ClientError> {
        self.post("/v1/identity/restore", request).await
    }

    /// Calls that wait for a person.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn held_calls(&self) -> Result<HeldCalls, ClientError> {
        self.get("/v1/approvals").await
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ClientError`]; refused when nothing waits under this id.
    pub async fn held_call(&self, id: &str) -> Result<HeldCall, ClientError> {
        self.get(&format!("/v1/approvals/{}", segment(id))).await
    }

    /// Lets it pass, once.
    ///
    /// # Errors
    /// [`ClientError`]; refused when nothing waits under this id, or it was decided already.
    pub async fn approve_call(&self, id: &str, request: &ApproveRequest) -> Result<HeldCall, ClientError> {
        self.post(&format!("/v1/approvals/{}/approve", segment(id)), request).await
    }

    /// Has it refused.
    ///
    /// # Errors
    /// As [`Client::approve_call`].
    pub async fn reject_call(&self, id: &str, request: &RejectRequest) -> Result<HeldCall, ClientError> {
        self.post(&format!("/v1/approvals/{}/reject", segment(id)), request).await
    }
}
