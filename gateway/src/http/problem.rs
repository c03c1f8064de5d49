//! Errors as `application/problem+json` (RFC 9457).

use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An error as its sender sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    /// A stable code, as a relative reference.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "status_number")]
    status: StatusCode,
    /// What is wrong with this request.
    detail: String,
    /// The parameter concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
    /// The stable code of the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The dead letter that the input became.
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<u64>,
}

fn status_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(super) fn bad_parameter(parameter: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: "/problems/bad-parameter",
            title: "A parameter cannot be understood",
            status: StatusCode::BAD_REQUEST,
            detail: detail.into(),
            parameter: Some(parameter.into()),
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn unknown_position(account: &str, instrument: &str) -> Self {
        Self {
            kind: "/problems/unknown-position",
            title: "No such position",
            status: StatusCode::NOT_FOUND,
            detail: format!("account \"{account}\" has never held instrument \"{instrument}\""),
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn not_found(detail: String) -> Self {
        Self {
            kind: "/problems/not-found",
            title: "No such thing",
            status: StatusCode::NOT_FOUND,
            detail,
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    /// What was asked does not fit what is there; `code` is the book's reason.
    pub(super) fn conflict(code: &'static str, detail: String) -> Self {
        Self {
            kind: "/problems/refused",
            title: "Refused by the book",
            status: StatusCode::CONFLICT,
            detail,
            parameter: None,
            code: Some(code),
            dead_letter: None,
        }
    }

    pub(super) fn unavailable(detail: &'static str) -> Self {
        Self {
            kind: "/problems/unavailable",
            title: "Not taken in",
            status: StatusCode::SERVICE_UNAVAILABLE,
            detail: detail.into(),
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn out_of_reach(detail: String) -> Self {
        Self {
            kind: "/problems/out-of-reach",
            title: "The history cannot be read",
            status: StatusCode::SERVICE_UNAVAILABLE,
            detail,
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn unknown_fate() -> Self {
        Self {
            kind: "/problems/unknown-fate",
            title: "Whether it was recorded is not known",
            status: StatusCode::SERVICE_UNAVAILABLE,
            detail: "no answer came in time, or the log stopped; look at the position before it is sent again".into(),
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn wrong_type() -> Self {
        Self {
            kind: "/problems/wrong-type",
            title: "The body has another type",
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            detail:
                "a body of type application/json is wanted, or of application/x-ndjson where it may have many lines"
                    .into(),
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    /// Nobody that is known asks.
    pub(super) fn unauthorized(detail: &str) -> Self {
        let (kind, title) = ("/problems/unauthorized", "No credential that is known");
        Self {
            kind,
            title,
            status: StatusCode::UNAUTHORIZED,
            detail: detail.into(),
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    /// Who asks may not.
    pub(super) fn forbidden(detail: String, parameter: Option<String>) -> Self {
        let (kind, title) = ("/problems/forbidden", "Not for this user");
        Self { kind, title, status: StatusCode::FORBIDDEN, detail, parameter, code: None, dead_letter: None }
    }

    pub(super) fn too_often() -> Self {
        let (kind, title) = ("/problems/too-often", "Too many requests");
        let detail = "the header Retry-After says after how many seconds one more is taken".into();
        Self {
            kind,
            title,
            status: StatusCode::TOO_MANY_REQUESTS,
            detail,
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn too_large(bytes_max: usize) -> Self {
        let (kind, title) = ("/problems/too-large", "The body is too long");
        let detail = format!("a body here has at most {bytes_max} bytes, and ends");
        Self {
            kind,
            title,
            status: StatusCode::PAYLOAD_TOO_LARGE,
            detail,
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn too_slow() -> Self {
        let (kind, title) = ("/problems/too-slow", "The body did not come");
        let detail = "nothing was done; send it again".into();
        Self {
            kind,
            title,
            status: StatusCode::REQUEST_TIMEOUT,
            detail,
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn foreign_host(host: &str) -> Self {
        let (kind, title) = ("/problems/foreign-host", "Another host is wanted");
        let detail =
            format!("without logins only names of this machine are served, such as localhost, and not \"{host}\"");
        Self {
            kind,
            title,
            status: StatusCode::MISDIRECTED_REQUEST,
            detail,
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self {
            kind: "/problems/internal",
            title: "A fault of the server",
            status: StatusCode::INTERNAL_SERVER_ERROR,
            detail: detail.into(),
            parameter: None,
            code: None,
            dead_letter: None,
        }
    }
}

impl Problem {
    /// With the stable code of the input's fault.
    pub(super) fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// With the dead letter that the input became.
    pub(super) fn with_letter(self, dead_letter: Option<u64>) -> Self {
        Self { dead_letter, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Its fields are texts and a number: they always serialize.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut answer = (self.status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        let (name, value) = match self.status {
            StatusCode::UNAUTHORIZED => (WWW_AUTHENTICATE, "Bearer realm=\"lotbook\""),
            StatusCode::TOO_MANY_REQUESTS => (RETRY_AFTER, "1"),
            // What is left of the body is not read.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => (CONNECTION, "close"),
            _ => return answer,
        };
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
        answer
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem {
        kind: "/problems/unknown-path",
        title: "No such path",
        status: StatusCode::NOT_FOUND,
        detail: format!("nothing is served at {}", uri.path()),
        parameter: None,
        code: None,
        dead_letter: None,
    }
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem {
        kind: "/problems/method-not-allowed",
        title: "Method not allowed",
        status: StatusCode::METHOD_NOT_ALLOWED,
        detail: format!("{method} is not served at {}; the header Allow names what is", uri.path()),
        parameter: None,
        code: None,
        dead_letter: None,
    }
}
