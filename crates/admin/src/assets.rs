//! The dashboard's files, inside the program. They come out of `ui/`; the gate builds them anew and compares.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lockgate_crypto::digest;

/// What the page may do: run its own script, use its own style, ask its own origin. Nothing inline, nothing from elsewhere,
/// no markup out of strings but through the framework's own templates, and no other page may frame it.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

/// A file of the dashboard.
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// All of them.
pub(crate) const ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        kind: "text/html; charset=utf-8",
        bytes: include_bytes!("../../../ui/dist/index.html"),
    },
    Asset {
        path: "/app.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../../../ui/dist/app.js"),
    },
    Asset {
        path: "/app.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../../../ui/dist/app.css"),
    },
    Asset { path: "/icon.svg", kind: "image/svg+xml", bytes: include_bytes!("../../../ui/dist/icon.svg") },
];

impl Asset {
    /// The file, or that the asker has it already.
    pub(crate) fn serve(&self, asked: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", digest::hex(&digest::sha256(self.bytes)));
        let known = asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        let mut response = match known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Body::from(self.bytes).into_response(),
        };
        let headers = response.headers_mut();
        let fixed: [(HeaderName, &'static str); 8] = [
            (header::CONTENT_TYPE, self.kind),
            (header::CONTENT_SECURITY_POLICY, CSP),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (
                HeaderName::from_static("permissions-policy"),
                "camera=(), microphone=(), geolocation=(), usb=()",
            ),
            // Asked for again each time: another version of the node has other files under the same names.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("hexadecimal in quotes"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_no_other_origin_and_nothing_inline() {
        let page = std::str::from_utf8(ASSETS[0].bytes).expect("text");
        for odd in ["http:", "https:", "//", "<style", " style=", " onload", "javascript:"] {
            assert!(!page.contains(odd), "{odd} in {page}");
        }
        let scripts = page.matches("<script").count();
        assert_eq!((scripts, page.matches("<script type=\"module\"").count()), (1, 1), "{page}");
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let first = ASSETS[1].serve(&HeaderMap::new());
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(ASSETS[1].serve(&asked).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ASSETS[2].serve(&asked).status(), StatusCode::OK);
    }
}
