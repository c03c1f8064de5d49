//! One JSON object a line.
//!
//! The object is read into a fixed array of borrowed values: the only allocations of a line are the
//! names that its [`Line`] owns.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Line;
use super::error::{Code, LineError};
use super::fields::{Field, Object, Raw};

/// Parses one line without its line end. `round`: more than eight decimals round half to even.
///
/// # Errors
/// [`LineError`] with the stable code, the field and what would be right.
pub fn parse_line(bytes: &[u8], round: bool) -> Result<Line, LineError> {
    let text = super::source::as_text(bytes)?;
    let object: Object<'_> = serde_json::from_str(text).map_err(|error| {
        // The parser sees one line only: its line number would mislead, its column is right.
        let message = error.to_string();
        let reason = message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason);
        LineError::line(Code::MalformedJson, format!("{reason} (column {})", error.column()))
    })?;
    object.into_line(round)
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut object = Object::default();
                while let Some(name) = map.next_key()? {
                    match name {
                        Name::Known(field) => object.set(field, map.next_value()?),
                        Name::Unknown(name) => {
                            map.next_value::<IgnoredAny>()?;
                            object.set_unknown(name);
                        }
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

enum Name {
    Known(Field),
    Unknown(String),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                Ok(Field::parse(name).map_or_else(|| Name::Unknown(name.to_owned()), Name::Known))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;
        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Raw<'de>, E> {
                Ok(Raw::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Raw<'de>, E> {
                Ok(Raw::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Raw<'de>, E> {
                Ok(Raw::Integer(value))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Raw<'de>, E> {
                Ok(Raw::Number)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Raw<'de>, E> {
                Ok(Raw::Number)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Raw<'de>, E> {
                Ok(Raw::Bool(value))
            }

            fn visit_unit<E>(self) -> Result<Raw<'de>, E> {
                Ok(Raw::Absent)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Raw::Array)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Raw::Object)
            }
        }
        deserializer.deserialize_any(RawVisitor)
    }
}

#[cfg(test)]
#[path = "jsonl_tests.rs"]
mod tests;
