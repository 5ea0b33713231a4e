//! A tensor's `data` as JSON has it: flat or nested, read once, texts borrowed from the body where they can be.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// The values of one tensor, row by row, whatever nesting they came in.
#[derive(Debug, Default, PartialEq)]
pub struct TensorData<'a>(pub Vec<Scalar<'a>>);

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar<'a> {
    /// `null`.
    Missing,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number beyond 2^63 - 1.
    Large(u64),
    /// A number with a fraction or an exponent.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// An object, which no tensor holds: kept to be shown.
    Object(Box<serde_json::Value>),
}

impl Scalar<'_> {
    /// As a float: whole numbers count too.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(v) => Some(*v as f64),
            Self::Large(v) => Some(*v as f64),
            Self::Number(v) => Some(*v).filter(|v| v.is_finite()),
            _ => None,
        }
    }

    /// As a 64-bit integer; a number with a fraction is none.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(v) => Some(*v),
            _ => None,
        }
    }

    /// As a truth.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(v) => Some(*v),
            _ => None,
        }
    }

    /// As a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(v) => Some(v),
            _ => None,
        }
    }
}

/// As JSON.
impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = match self {
            Self::Missing => serde_json::Value::Null,
            Self::Boolean(v) => (*v).into(),
            Self::Integer(v) => (*v).into(),
            Self::Large(v) => (*v).into(),
            Self::Number(v) => (*v).into(),
            Self::Text(v) => v.as_ref().into(),
            Self::Object(v) => return v.fmt(f),
        };
        json.fmt(f)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TensorData<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Vec::new();
        deserializer.deserialize_seq(Values(&mut values))?;
        Ok(Self(values))
    }
}

/// Appends an array's values.
struct Values<'a, 'de>(&'a mut Vec<Scalar<'de>>);

impl<'de> Visitor<'de> for Values<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }
}

/// Appends what one element of an array holds.
struct Element<'a, 'de>(&'a mut Vec<Scalar<'de>>);

impl<'de> DeserializeSeed<'de> for Element<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.push(Scalar::Missing);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.push(Scalar::Boolean(value));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.push(Scalar::Integer(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.push(i64::try_from(value).map_or(Scalar::Large(value), Scalar::Integer));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push(Scalar::Number(value));
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<(), E> {
        self.0.push(Scalar::Text(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.push(Scalar::Text(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sequence: A) -> Result<(), A::Error> {
        Values(self.0).visit_seq(sequence)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let object = serde_json::Value::deserialize(MapAccessDeserializer::new(map))?;
        self.0.push(Scalar::Object(Box::new(object)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_as_it_is_and_shown_as_json() {
        let body = r#"[[1, [-2, 18446744073709551615]], 1.0, 1e3, "a", "\u00e9\n", true, null, {"a": [1, {}]}, []]"#;
        let TensorData(values) = serde_json::from_str(body).unwrap();
        let shown: Vec<String> = values.iter().map(Scalar::to_string).collect();
        assert_eq!(
            shown,
            [
                "1",
                "-2",
                "18446744073709551615",
                "1.0",
                "1000.0",
                "\"a\"",
                "\"é\\n\"",
                "true",
                "null",
                r#"{"a":[1,{}]}"#
            ]
        );
        assert!(matches!(&values[5], Scalar::Text(Cow::Borrowed("a"))));
        let numbers: Vec<_> = values.iter().filter_map(Scalar::number).collect();
        assert_eq!(numbers, [1.0, -2.0, 18_446_744_073_709_551_615.0, 1.0, 1000.0]);
        assert_eq!(values.iter().filter_map(Scalar::integer).collect::<Vec<_>>(), [1, -2]);
    }

    #[test]
    fn only_an_array_is_data() {
        for body in ["{}", "1", "\"a\"", "null"] {
            let error = serde_json::from_str::<TensorData>(body).unwrap_err().to_string();
            assert!(error.contains("expected a sequence"), "{error}");
        }
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert!(
            serde_json::from_str::<TensorData>(&deep)
                .unwrap_err()
                .to_string()
                .contains("recursion")
        );
    }
}
