//! Tensors as bytes: row-major, little-endian, the element types of wasi:nn.

use tidemill_core::{Error, Result};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE half.
    F16,
    /// IEEE single.
    F32,
    /// IEEE double.
    F64,
    /// The upper half of an IEEE single.
    Bf16,
    /// Unsigned byte.
    U8,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
}

impl ElementType {
    /// Bytes an element.
    pub fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// Defines `type_from_wit` and `type_to_wit` in the module where it is called: conversions between [`ElementType`] and
/// the `tensor-type` that a bindings generator makes from `wasi:nn`, whose path is the argument. Guests and hosts have types of their own
/// with the same cases; a case that is added on one side fails to compile.
#[macro_export]
macro_rules! tensor_type_conversions {
    ($($path:tt)+) => {
        use $($path)+ as WitTensorType;

        fn type_from_wit(kind: WitTensorType) -> $crate::ElementType {
            match kind {
                WitTensorType::Fp16 => $crate::ElementType::F16,
                WitTensorType::Fp32 => $crate::ElementType::F32,
                WitTensorType::Fp64 => $crate::ElementType::F64,
                WitTensorType::Bf16 => $crate::ElementType::Bf16,
                WitTensorType::U8 => $crate::ElementType::U8,
                WitTensorType::I32 => $crate::ElementType::I32,
                WitTensorType::I64 => $crate::ElementType::I64,
            }
        }

        fn type_to_wit(kind: $crate::ElementType) -> WitTensorType {
            match kind {
                $crate::ElementType::F16 => WitTensorType::Fp16,
                $crate::ElementType::F32 => WitTensorType::Fp32,
                $crate::ElementType::F64 => WitTensorType::Fp64,
                $crate::ElementType::Bf16 => WitTensorType::Bf16,
                $crate::ElementType::U8 => WitTensorType::U8,
                $crate::ElementType::I32 => WitTensorType::I32,
                $crate::ElementType::I64 => WitTensorType::I64,
            }
        }
    };
}

/// A dense tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each dimension.
    pub shape: Vec<usize>,
    /// What `data` holds.
    pub kind: ElementType,
    /// Row-major, little-endian.
    pub data: Vec<u8>,
}

impl Tensor {
    /// A tensor from bytes.
    ///
    /// ```
    /// use tidemill_nn::{ElementType, Tensor};
    ///
    /// assert!(Tensor::new(vec![2, 2], ElementType::F16, vec![0; 8]).is_ok());
    /// assert!(Tensor::new(vec![2, 2], ElementType::F16, vec![0; 7]).is_err());
    /// ```
    ///
    /// # Errors
    /// `Input` unless there are as many bytes as shape and type require.
    pub fn new(shape: Vec<usize>, kind: ElementType, data: Vec<u8>) -> Result<Self> {
        let size = shape.iter().try_fold(kind.size(), |size, length| size.checked_mul(*length));
        if size != Some(data.len()) {
            return Err(Error::input(format!(
                "a tensor of shape {shape:?} and type {kind:?} cannot have {} bytes",
                data.len()
            )));
        }
        Ok(Self { shape, kind, data })
    }

    /// A tensor with dimensions as wasi:nn has them; otherwise like [`new`](Self::new).
    pub fn from_dimensions(dimensions: &[u32], kind: ElementType, data: Vec<u8>) -> Result<Self> {
        Self::new(dimensions.iter().map(|length| *length as usize).collect(), kind, data)
    }

    /// The shape as wasi:nn has it.
    pub fn dimensions(&self) -> Vec<u32> {
        self.shape.iter().map(|length| u32::try_from(*length).unwrap_or(u32::MAX)).collect()
    }

    /// A tensor of f32.
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Result<Self> {
        Self::new(shape, ElementType::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    /// The values of a float tensor, widened to f64; `Input` for integers.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        Ok(match self.kind {
            ElementType::F32 => self.map_elements(|b: [u8; 4]| f64::from(f32::from_le_bytes(b))),
            ElementType::F64 => self.map_elements(f64::from_le_bytes),
            ElementType::F16 => self.map_elements(|b: [u8; 2]| half::f16::from_le_bytes(b).to_f64()),
            ElementType::Bf16 => self.map_elements(|b: [u8; 2]| half::bf16::from_le_bytes(b).to_f64()),
            other => return Err(Error::input(format!("a tensor of {other:?} holds no floats"))),
        })
    }

    /// Maps every element; `N` must be its size.
    pub fn map_elements<const N: usize, T>(&self, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.data.as_chunks::<N>().0.iter().map(|chunk| read(*chunk)).collect()
    }
}

/// Puts inputs in the order that the model expects.
///
/// # Errors
/// `Input` if one is missing, or is not the model's.
pub fn arrange(model: &str, expected: &[String], mut inputs: Vec<(String, Tensor)>) -> Result<Vec<Tensor>> {
    let mut arranged = Vec::with_capacity(expected.len());
    for name in expected {
        let Some(at) = inputs.iter().position(|(found, _)| found == name) else {
            return Err(Error::input(format!("model `{model}` needs the input `{name}`, which is missing")));
        };
        arranged.push(inputs.swap_remove(at).1);
    }
    match inputs.first() {
        Some((extra, _)) => Err(Error::input(format!(
            "model `{model}` has no input `{extra}`; its inputs are {}",
            expected.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        ))),
        None => Ok(arranged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fit_the_shape() {
        assert!(Tensor::new(vec![2, 2], ElementType::F16, vec![0; 8]).is_ok());
        assert!(Tensor::new(vec![2, 2], ElementType::F16, vec![0; 16]).is_err());
        assert!(Tensor::new(vec![usize::MAX, 2], ElementType::U8, vec![]).is_err());
    }

    #[test]
    fn halves_widen_exactly() {
        let data = [1.5f32, -0.25]
            .iter()
            .flat_map(|v| half::bf16::from_f32(*v).to_le_bytes())
            .collect();
        let tensor = Tensor::new(vec![2], ElementType::Bf16, data).unwrap();
        assert_eq!(tensor.to_f64().unwrap(), [1.5, -0.25]);
    }
}
