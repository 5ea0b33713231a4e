//! Tensors on the way in and out.

use tidemill_nn::{ElementType, Tensor};

use crate::{Component, bindings::exports::wasi::nn::tensor};

/// As the caller made it. Measurement does not fit its shape is said when it is used: a constructor cannot fail.
#[allow(unreachable_pub, reason = "the generated bindings name it in public")]
pub struct Made {
    dimensions: Vec<u32>,
    kind: tensor::TensorTypeProto,
    data: Vec<u8>,
}

impl tensor::Guest for Component {
    type Tensor = Made;
}

impl tensor::GuestTensor for Made {
    fn new(dimensions: Vec<u32>, kind: tensor::TensorTypeProto, data: Vec<u8>) -> Self {
        Self { dimensions, kind, data }
    }
    fn dimensions(&self) -> Vec<u32> {
        self.dimensions.clone()
    }
    fn ty(&self) -> tensor::TensorTypeProto {
        self.kind
    }
    fn data(&self) -> Vec<u8> {
        self.data.clone()
    }
}

/// `Input` unless its bytes are as many as its shape says.
pub(crate) fn taken(tensor: tensor::Tensor) -> tidemill_core::Result<Tensor> {
    let Made { dimensions, kind, data } = tensor.into_inner::<Made>();
    let kind = match kind {
        tensor::TensorTypeProto::Fp16 => ElementType::F16,
        tensor::TensorTypeProto::Fp32 => ElementType::F32,
        tensor::TensorTypeProto::Fp64 => ElementType::F64,
        tensor::TensorTypeProto::Bf16 => ElementType::Bf16,
        tensor::TensorTypeProto::U8 => ElementType::U8,
        tensor::TensorTypeProto::I32 => ElementType::I32,
        tensor::TensorTypeProto::I64 => ElementType::I64,
    };
    Tensor::new(dimensions.iter().map(|length| *length as usize).collect(), kind, data)
}

pub(crate) fn given(tensor: Tensor) -> tensor::Tensor {
    let kind = match tensor.kind {
        ElementType::F16 => tensor::TensorTypeProto::Fp16,
        ElementType::F32 => tensor::TensorTypeProto::Fp32,
        ElementType::F64 => tensor::TensorTypeProto::Fp64,
        ElementType::Bf16 => tensor::TensorTypeProto::Bf16,
        ElementType::U8 => tensor::TensorTypeProto::U8,
        ElementType::I32 => tensor::TensorTypeProto::I32,
        ElementType::I64 => tensor::TensorTypeProto::I64,
    };
    let dimensions = tensor
        .shape
        .iter()
        .map(|length| u32::try_from(*length).unwrap_or(u32::MAX))
        .collect();
    tensor::Tensor::new(Made {
        dimensions,
        kind,
        data: tensor.data,
    })
}
