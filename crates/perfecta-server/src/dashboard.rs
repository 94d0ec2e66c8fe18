//! The page for people: files that are part of the program, with headers that let them load nothing
//! else and run nothing but themselves.
//!
//! They hold no secrets and need no token; what they show, they ask for as any client does.

use std::sync::Arc;

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::daemon::Control;

/// What the page may do. Where browsers know them, trusted types make markup from text an error.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, kind and content of every file.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("../dashboard/index.html")),
    ("/dashboard", HTML, include_str!("../dashboard/index.html")),
    ("/dashboard/dashboard.css", STYLE, include_str!("../dashboard/dashboard.css")),
    ("/dashboard/dashboard.js", SCRIPT, include_str!("../dashboard/dashboard.js")),
    ("/dashboard/ask.js", SCRIPT, include_str!("../dashboard/ask.js")),
    ("/dashboard/draw.js", SCRIPT, include_str!("../dashboard/draw.js")),
    ("/dashboard/overview.js", SCRIPT, include_str!("../dashboard/overview.js")),
    ("/dashboard/pager.js", SCRIPT, include_str!("../dashboard/pager.js")),
    ("/dashboard/rates.js", SCRIPT, include_str!("../dashboard/rates.js")),
    ("/dashboard/request.js", SCRIPT, include_str!("../dashboard/request.js")),
];

pub(crate) fn pages() -> impl Iterator<Item = (&'static str, MethodRouter<Arc<Control>>)> {
    FILES.into_iter().map(|(path, kind, content)| (path, get(async move || answer(kind, content))))
}

/// Whether a path is that of a file of the page.
pub(crate) fn has(path: &str) -> bool {
    FILES.iter().any(|file| file.0 == path)
}

fn answer(kind: &'static str, content: &'static str) -> Response {
    // Not stored: an hour-old page of an earlier version would not fit this one's answers.
    let headers: [(HeaderName, &str); 7] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> &'static str {
        FILES.iter().find(|file| file.0 == path).unwrap().2
    }

    fn scripts() -> impl Iterator<Item = (&'static str, &'static str)> {
        FILES.into_iter().filter(|file| file.1 == SCRIPT).map(|(path, _, content)| (path, content))
    }

    #[test]
    fn every_file_is_answered_with_its_kind_and_may_load_nothing_from_elsewhere() {
        for (path, kind, content) in FILES {
            let response = answer(kind, content);
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("content-type"), kind, "{path}");
            assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(header("cache-control"), "no-store", "{path}");
            let policy = header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
            assert!(!policy.contains("  "), "{policy}");
        }
    }

    #[test]
    fn what_the_files_name_is_served_from_below_the_page() {
        let page = file("/");
        let (paths, num_named) = (FILES.map(|file| file.0), page.matches("\"dashboard/").count());
        assert_eq!(num_named, 2);
        for named in page.split("\"dashboard/").skip(1) {
            let name = named.split('"').next().unwrap();
            assert!(paths.contains(&format!("/dashboard/{name}").as_str()), "{name}");
        }
        for (path, script) in scripts() {
            for imported in script.split(" from \"./").skip(1) {
                let name = imported.split('"').next().unwrap();
                assert!(paths.contains(&format!("/dashboard/{name}").as_str()), "{path}: {name}");
            }
        }
    }

    #[test]
    fn the_files_are_small_and_name_nothing_elsewhere() {
        let bytes: usize = FILES.iter().skip(1).map(|file| file.2.len()).sum();
        assert!(bytes < 64 << 10, "{bytes} bytes");
        for (path, _, content) in FILES {
            let elsewhere = content.replace("http://www.w3.org/", "");
            assert!(!elsewhere.contains("://"), "{path}");
        }
    }

    #[test]
    fn no_script_turns_text_into_markup_or_code() {
        let refused = [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "Function(",
            "srcdoc",
            "DOMParser",
            "setHTML",
            "createContextualFragment",
        ];
        for (path, script) in scripts() {
            for word in refused {
                assert!(!script.contains(word), "{path}: {word}");
            }
        }
    }
}
