//! Conversions of tensors.

use tidemill_nn::Tensor;

use crate::{Component, bindings::exports::wasi::nn::tensor};

tidemill_nn::tensor_type_conversions!(crate::bindings::exports::wasi::nn::tensor::TensorType);

/// A tensor as the caller created it. Whether the bytes fit the shape is checked when the tensor is used, because a constructor cannot
/// fail.
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

/// Converts a tensor; an `Input` error unless shape and type require exactly that many bytes.
pub(crate) fn from_wit(tensor: tensor::Tensor) -> tidemill_core::Result<Tensor> {
    let GuestTensor { dimensions, kind, data } = tensor.into_inner::<GuestTensor>();
    Tensor::from_dimensions(&dimensions, type_from_wit(kind), data)
}

pub(crate) fn to_wit(tensor: Tensor) -> tensor::Tensor {
    tensor::Tensor::new(GuestTensor {
        dimensions: tensor.dimensions(),
        kind: type_to_wit(tensor.kind),
        data: tensor.data,
    })
}
