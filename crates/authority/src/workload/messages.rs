//! The messages of the SPIFFE Workload API, as its specification numbers their fields (`workload.proto`).

use std::collections::HashMap;

/// Asks for X.509-SVIDs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct X509SvidRequest {}

/// X.509-SVIDs with their keys and bundles.
#[derive(Clone, PartialEq, prost::Message)]
pub struct X509SvidResponse {
    /// One for each identity.
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<X509Svid>,
    /// ASN.1 DER.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub crl: Vec<Vec<u8>>,
    /// Roots of other trust domains, by their SPIFFE id.
    #[prost(map = "string, bytes", tag = "3")]
    pub federated_bundles: HashMap<String, Vec<u8>>,
}

/// One X.509-SVID.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct X509Svid {
    /// The id in it.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// Certificates, leaf first, DER, one after the other.
    #[prost(bytes = "vec", tag = "2")]
    pub x509_svid: Vec<u8>,
    /// PKCS#8 DER. Secret.
    #[prost(bytes = "vec", tag = "3")]
    pub x509_svid_key: Vec<u8>,
    /// Roots of its trust domain, DER, one after the other.
    #[prost(bytes = "vec", tag = "4")]
    pub bundle: Vec<u8>,
    /// What to use it for, if there are several.
    #[prost(string, tag = "5")]
    pub hint: String,
}

impl std::fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("X509Svid")
            .field("spiffe_id", &self.spiffe_id)
            .field("key", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// Asks for X.509 bundles.
#[derive(Clone, PartialEq, prost::Message)]
pub struct X509BundlesRequest {}

/// Roots of trust domains.
#[derive(Clone, PartialEq, prost::Message)]
pub struct X509BundlesResponse {
    /// ASN.1 DER.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub crl: Vec<Vec<u8>>,
    /// DER, one after the other, by the trust domain's SPIFFE id.
    #[prost(map = "string, bytes", tag = "2")]
    pub bundles: HashMap<String, Vec<u8>>,
}

/// Asks for JWT-SVIDs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JwtSvidRequest {
    /// For whom they are to be good.
    #[prost(string, repeated, tag = "1")]
    pub audience: Vec<String>,
    /// Of which of the workload's identities; empty for all.
    #[prost(string, tag = "2")]
    pub spiffe_id: String,
}

/// JWT-SVIDs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JwtSvidResponse {
    /// One for each identity.
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<JwtSvid>,
}

/// One JWT-SVID.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct JwtSvid {
    /// The id in it.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// JWS Compact Serialization. Secret while it lives.
    #[prost(string, tag = "2")]
    pub svid: String,
    /// What to use it for, if there are several.
    #[prost(string, tag = "3")]
    pub hint: String,
}

impl std::fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtSvid")
            .field("spiffe_id", &self.spiffe_id)
            .field("svid", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// Asks for JWT bundles.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JwtBundlesRequest {}

/// Keys of trust domains.
#[derive(Clone, PartialEq, prost::Message)]
pub struct JwtBundlesResponse {
    /// JWK Sets, by the trust domain's SPIFFE id.
    #[prost(map = "string, bytes", tag = "1")]
    pub bundles: HashMap<String, Vec<u8>>,
}

/// Asks whether a JWT-SVID is good.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct ValidateJwtSvidRequest {
    /// For whom it must be good.
    #[prost(string, tag = "1")]
    pub audience: String,
    /// The token.
    #[prost(string, tag = "2")]
    pub svid: String,
}

impl std::fmt::Debug for ValidateJwtSvidRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValidateJwtSvidRequest").field("audience", &self.audience).finish_non_exhaustive()
    }
}

/// What a good JWT-SVID says.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValidateJwtSvidResponse {
    /// Its subject.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// All its claims.
    #[prost(message, optional, tag = "2")]
    pub claims: Option<Struct>,
}

/// `google.protobuf.Struct`: a JSON object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Struct {
    /// Its members.
    #[prost(map = "string, message", tag = "1")]
    pub fields: HashMap<String, Value>,
}

/// `google.protobuf.Value`: a JSON value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Which.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

/// The kinds of JSON values.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// `null`.
    #[prost(int32, tag = "1")]
    Null(i32),
    /// A number.
    #[prost(double, tag = "2")]
    Number(f64),
    /// A text.
    #[prost(string, tag = "3")]
    Text(String),
    /// `true` or `false`.
    #[prost(bool, tag = "4")]
    Flag(bool),
    /// An object.
    #[prost(message, tag = "5")]
    Object(Struct),
    /// A list.
    #[prost(message, tag = "6")]
    List(ListValue),
}

/// `google.protobuf.ListValue`: a JSON list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListValue {
    /// Its values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

impl From<&serde_json::Map<String, serde_json::Value>> for Struct {
    fn from(map: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self { fields: map.iter().map(|(name, value)| (name.clone(), value.into())).collect() }
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let kind = match value {
            Json::Null => Kind::Null(0),
            Json::Bool(flag) => Kind::Flag(*flag),
            // As the JSON mapping of this message says: a double.
            Json::Number(number) => Kind::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Kind::Text(text.clone()),
            Json::Array(values) => Kind::List(ListValue { values: values.iter().map(Self::from).collect() }),
            Json::Object(map) => Kind::Object(map.into()),
        };
        Self { kind: Some(kind) }
    }
}
