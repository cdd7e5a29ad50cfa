//! What this node proves itself by to a server: a header of its own, never the client's.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::header::{HeaderName, HeaderValue};

/// A header that every request to one server carries. Its value can be replaced or taken away while calls run.
pub struct Credential {
    /// What it is called in the configuration, for errors.
    name: String,
    header: HeaderName,
    value: ArcSwapOption<HeaderValue>,
}

impl Credential {
    /// A credential without a value: until it has one, nothing goes to the server.
    pub fn new(name: &str, header: HeaderName) -> Self {
        Self { name: name.to_owned(), header, value: ArcSwapOption::empty() }
    }

    /// Sends this value from now on; with none, no request goes out any more.
    pub fn set(&self, value: Option<HeaderValue>) {
        let sensitive = value.map(|mut value| {
            // Keeps it out of debug output and out of the compression of headers.
            value.set_sensitive(true);
            Arc::new(value)
        });
        self.value.store(sensitive);
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The header with its value, if it has one.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let value = self.value.load_full()?;
        Some((self.header.clone(), HeaderValue::clone(&value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_nothing_without_a_value_and_never_shown() {
        let credential = Credential::new("crm", http::header::AUTHORIZATION);
        assert!(credential.header().is_none());
        credential.set(Some(HeaderValue::from_static("Bearer hunter2")));
        let (name, value) = credential.header().expect("a value was set");
        assert_eq!((name, value.as_bytes()), (http::header::AUTHORIZATION, b"Bearer hunter2".as_slice()));
        assert!(value.is_sensitive() && !format!("{value:?}").contains("hunter2"));
        credential.set(None);
        assert!(credential.header().is_none());
    }
}
