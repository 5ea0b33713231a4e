//! Conversions of tensors.

use tidemill_nn::{ElementType, Tensor};

use crate::{Component, bindings::exports::wasi::nn::tensor};

/// A tensor as the caller made it. Whether the bytes fit the shape is checked when it is used: a constructor cannot fail.
#[allow(unreachable_pub, reason = "the generated bindings name it in public")]
pub struct GuestTensor {
    dimensions: Vec<u32>,
    kind: tensor::TensorType,
    data: Vec<u8>,
}

impl tensor::Guest for Component {
    type Tensor = GuestTensor;
}

impl tensor::GuestTensor for GuestTensor {
    fn new(dimensions: Vec<u32>, kind: tensor::TensorType, data: Vec<u8>) -> Self {
        Self { dimensions, kind, data }
    }
    fn dimensions(&self) -> Vec<u32> {
        self.dimensions.clone()
    }
    fn ty(&self) -> tensor::TensorType {
        self.kind
    }
    fn data(&self) -> Vec<u8> {
        self.data.clone()
    }
}

/// `Input` unless there are as many bytes as shape and type require.
pub(crate) fn from_wit(tensor: tensor::Tensor) -> tidemill_core::Result<Tensor> {
    let GuestTensor { dimensions, kind, data } = tensor.into_inner::<GuestTensor>();
    let kind = match kind {
        tensor::TensorType::Fp16 => ElementType::F16,
        tensor::TensorType::Fp32 => ElementType::F32,
        tensor::TensorType::Fp64 => ElementType::F64,
        tensor::TensorType::Bf16 => ElementType::Bf16,
        tensor::TensorType::U8 => ElementType::U8,
        tensor::TensorType::I32 => ElementType::I32,
        tensor::TensorType::I64 => ElementType::I64,
    };
    Tensor::new(dimensions.iter().map(|length| *length as usize).collect(), kind, data)
}

pub(crate) fn to_wit(tensor: Tensor) -> tensor::Tensor {
    let kind = match tensor.kind {
        ElementType::F16 => tensor::TensorType::Fp16,
        ElementType::F32 => tensor::TensorType::Fp32,
        ElementType::F64 => tensor::TensorType::Fp64,
        ElementType::Bf16 => tensor::TensorType::Bf16,
        ElementType::U8 => tensor::TensorType::U8,
        ElementType::I32 => tensor::TensorType::I32,
        ElementType::I64 => tensor::TensorType::I64,
    };
    let dimensions = tensor
        .shape
        .iter()
        .map(|length| u32::try_from(*length).unwrap_or(u32::MAX))
        .collect();
    tensor::Tensor::new(GuestTensor {
        dimensions,
        kind,
        data: tensor.data,
    })
}
