//! Errors as `application/problem+json` (RFC 9457).

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
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
        (self.status, [(CONTENT_TYPE, "application/problem+json")], body).into_response()
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
