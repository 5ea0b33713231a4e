//! The parts of a template: sections, resources, and the values that CloudFormation computes. Sections keep the order in which they
//! were filled, so that a template reads from the store to the stages, and a stage that was added is one block of lines.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use super::resources::Properties;

/// A SAM template.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Template {
    /// CloudFormation's only version.
    #[serde(rename = "AWSTemplateFormatVersion")]
    pub format_version: &'static str,
    /// What makes it a SAM template.
    pub transform: &'static str,
    /// For people.
    pub description: String,
    /// What may be chosen at each deployment.
    pub parameters: Section<Parameter>,
    /// What follows from the choices.
    pub conditions: Section<Condition>,
    /// What is made.
    pub resources: Section<Resource>,
    /// What is said when it is made.
    pub outputs: Section<Output>,
}

/// Named entries in the order in which they came.
#[derive(Debug, Clone)]
pub struct Section<T>(Vec<(String, T)>);

impl<T> Default for Section<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Section<T> {
    /// Adds an entry. Whether the name is new is checked with all other limits.
    pub fn add(&mut self, name: impl Into<String>, entry: T) {
        self.0.push((name.into(), entry));
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Section<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, entry) in &self.0 {
            map.serialize_entry(name, entry)?;
        }
        map.end()
    }
}

/// A choice.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Parameter {
    /// `String` or `Number`.
    pub r#type: &'static str,
    /// For people.
    pub description: String,
    /// What it is if nothing is said.
    pub default: Scalar,
    /// All that it may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_values: Vec<Scalar>,
    /// What it must look like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_pattern: Option<&'static str>,
    /// Least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_value: Option<u64>,
    /// Greatest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_value: Option<u64>,
    /// What is said when it does not look so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint_description: Option<&'static str>,
}

/// A text or a number.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

impl Scalar {
    /// The number, or 0.
    pub fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(_) => 0,
        }
    }
}

impl Default for Scalar {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// What follows from a parameter.
#[derive(Debug, Clone, Serialize)]
pub enum Condition {
    /// Both are the same.
    #[serde(rename = "Fn::Equals")]
    Equals([Value; 2]),
    /// The one condition does not hold.
    #[serde(rename = "Fn::Not")]
    Not([Box<Condition>; 1]),
}

/// Something that is made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resource {
    /// Made only if this condition holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<&'static str>,
    /// `Retain` keeps it when the stack is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<&'static str>,
    /// `Retain` keeps it when it is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_replace_policy: Option<&'static str>,
    /// What tools read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// `Type` and `Properties`.
    #[serde(flatten)]
    pub properties: Properties,
}

impl Resource {
    /// One that is always made and deleted with the stack.
    pub fn of(properties: impl Into<Properties>) -> Self {
        Self {
            condition: None,
            deletion_policy: None,
            update_replace_policy: None,
            metadata: None,
            properties: properties.into(),
        }
    }

    /// The same, made only if a condition holds.
    #[must_use]
    pub fn when(mut self, condition: &'static str) -> Self {
        self.condition = Some(condition);
        self
    }

    /// The same, kept when the stack is deleted or the resource replaced.
    #[must_use]
    pub fn retain(mut self) -> Self {
        self.deletion_policy = Some("Retain");
        self.update_replace_policy = Some("Retain");
        self
    }

    /// The same, with rules of the policy check that do not fit, each with the reason.
    #[must_use]
    pub fn skipping(mut self, rules: &[(&'static str, &'static str)]) -> Self {
        let skip = rules.iter().map(|(id, comment)| Skip { id, comment }).collect();
        self.metadata = Some(Metadata { checkov: Skips { skip } });
        self
    }
}

/// What tools read.
#[derive(Debug, Clone, Serialize)]
pub struct Metadata {
    /// The policy check.
    pub checkov: Skips,
}

/// Rules that do not fit.
#[derive(Debug, Clone, Serialize)]
pub struct Skips {
    /// With reasons.
    pub skip: Vec<Skip>,
}

/// A rule that does not fit.
#[derive(Debug, Clone, Serialize)]
pub struct Skip {
    /// `CKV_AWS_…`.
    pub id: &'static str,
    /// Why.
    pub comment: &'static str,
}

/// What is said when the stack is made.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    /// For people.
    pub description: String,
    /// The value.
    pub value: Value,
}

/// A value, known now or computed by CloudFormation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Known now.
    Known(Scalar),
    /// Computed.
    Computed(Intrinsic),
}

/// CloudFormation's functions, as far as they are used.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Intrinsic {
    /// A parameter, or a resource's name.
    Ref(String),
    /// An attribute of a resource.
    #[serde(rename = "Fn::GetAtt")]
    GetAtt([String; 2]),
    /// A text with `${…}`.
    #[serde(rename = "Fn::Sub")]
    Sub(String),
    /// One of two, by a condition.
    #[serde(rename = "Fn::If")]
    If(Box<(String, Value, Value)>),
}

impl Value {
    /// A parameter, or a resource's name.
    pub fn reference(name: impl Into<String>) -> Self {
        Self::Computed(Intrinsic::Ref(name.into()))
    }

    /// A resource's ARN.
    pub fn arn(resource: &str) -> Self {
        Self::attribute(resource, "Arn")
    }

    /// What a resource says of itself.
    pub fn attribute(resource: &str, attribute: &str) -> Self {
        Self::Computed(Intrinsic::GetAtt([resource.to_owned(), attribute.to_owned()]))
    }

    /// A text in which `${…}` is filled in.
    pub fn substitute(text: impl Into<String>) -> Self {
        Self::Computed(Intrinsic::Sub(text.into()))
    }

    /// `value` if the condition holds, else nothing.
    pub fn only_if(condition: &str, value: Value) -> Self {
        let nothing = Self::reference("AWS::NoValue");
        Self::Computed(Intrinsic::If(Box::new((condition.to_owned(), value, nothing))))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Known(Scalar::Text(text.to_owned()))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Known(Scalar::Number(number))
    }
}
