//! What this node proves itself by to a server: a header of its own, never the client's.

use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::header::{self, HeaderName, HeaderValue};
use lockgate_identity::Caller;

use super::UpstreamError;

/// A header that every request to one server carries. Its value can be replaced or taken away while calls run.
pub struct Credential {
    /// What it is called in the configuration, for errors.
    name: String,
    place: Place,
    value: Value,
}

/// Where a credential stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a header.
    Header(HeaderName),
    /// In the query, under this name. For REST APIs that want it there; it then stands in their logs.
    Query(String),
    /// In `Cookie`, under this name.
    Cookie(String),
}

/// Where the value comes from.
enum Value {
    /// It is the node's, for all callers.
    Sealed(ArcSwapOption<HeaderValue>),
    /// It is gotten for each caller.
    PerCaller(Arc<dyn PerCaller>),
}

/// A credential under way.
pub type Getting<'a> = Pin<Box<dyn Future<Output = Result<HeaderValue, String>> + Send + 'a>>;

/// Gets credentials that are each good for one caller's calls (RFC 8693).
pub trait PerCaller: Send + Sync {
    /// The value for the calls of `caller`, or why there is none, for the operator.
    fn value<'a>(&'a self, caller: &'a Caller) -> Getting<'a>;
    /// The server did not take it: it is not shown again.
    fn refused(&self, caller: &Caller);
}

impl Credential {
    /// A credential without a value: until it has one, nothing goes to the server.
    pub fn new(name: &str, header: HeaderName) -> Self {
        Self::at(name, Place::Header(header))
    }

    /// The same, elsewhere in the request.
    pub fn at(name: &str, place: Place) -> Self {
        Self { name: name.to_owned(), place, value: Value::Sealed(ArcSwapOption::empty()) }
    }

    /// One that is gotten for each caller, in `Authorization`.
    pub fn per_caller(name: &str, values: Arc<dyn PerCaller>) -> Self {
        let place = Place::Header(header::AUTHORIZATION);
        Self { name: name.to_owned(), place, value: Value::PerCaller(values) }
    }

    /// Sends this value from now on; with none, no request goes out any more. One that is gotten for each caller has none to set.
    pub fn set(&self, value: Option<HeaderValue>) {
        let sensitive = value.map(|mut value| {
            // Keeps it out of debug output and out of the compression of headers.
            value.set_sensitive(true);
            Arc::new(value)
        });
        if let Value::Sealed(held) = &self.value {
            held.store(sensitive);
        }
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The header with its value for a call of `caller`.
    ///
    /// # Errors
    /// [`UpstreamError::NoCredential`], [`UpstreamError::NotExchanged`].
    pub(super) async fn header(&self, caller: &Caller) -> Result<(HeaderName, HeaderValue), UpstreamError> {
        match &self.place {
            Place::Header(header) => Ok((header.clone(), self.value(caller).await?)),
            // Settings do not give a server of MCP such a place.
            _ => Err(UpstreamError::Unsupported("an MCP server takes a credential in a header only")),
        }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether another value could be gotten for a caller.
    pub(super) fn is_gotten(&self) -> bool {
        matches!(self.value, Value::PerCaller(_))
    }

    /// Its value for a call of `caller`.
    ///
    /// # Errors
    /// As [`Credential::header`].
    pub(super) async fn value(&self, caller: &Caller) -> Result<HeaderValue, UpstreamError> {
        let value = match &self.value {
            Value::Sealed(held) => held.load_full().map(|value| HeaderValue::clone(&value)),
            Value::PerCaller(values) => match values.value(caller).await {
                Ok(value) => Some(value),
                Err(cause) => {
                    tracing::warn!(target: "lockgate::forward", credential = %self.name, agent = %caller.agent, cause, "no credential for a call");
                    return Err(UpstreamError::NotExchanged(self.name.clone()));
                }
            },
        };
        value.ok_or_else(|| UpstreamError::NoCredential(self.name.clone()))
    }

    /// The server wanted another one.
    pub(super) fn refused(&self, caller: &Caller) {
        if let Value::PerCaller(values) = &self.value {
            values.refused(caller);
        }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_identity::{Principal, bind};

    use super::*;

    #[tokio::test]
    async fn it_is_nothing_without_a_value_and_never_shown() {
        let caller = bind(&Arc::new(Principal::Anonymous));
        let credential = Credential::new("crm", header::AUTHORIZATION);
        assert!(credential.header(&caller).await.is_err());
        credential.set(Some(HeaderValue::from_static("Bearer hunter2")));
        let (name, value) = credential.header(&caller).await.expect("a value was set");
        assert_eq!((name, value.as_bytes()), (header::AUTHORIZATION, b"Bearer hunter2".as_slice()));
        assert!(value.is_sensitive() && !format!("{value:?}").contains("hunter2"));
        credential.set(None);
        assert!(credential.header(&caller).await.is_err());
    }
}
