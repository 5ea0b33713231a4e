//! Trains a model and exports ONNX.
