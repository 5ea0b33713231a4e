//! A model that our trainer did not make, so that the ONNX engine runs it: a product with a matrix, and Softmax.

/// `scores` [n, 2] of `features` [n, width].
pub(crate) fn model(width: usize) -> Vec<u8> {
    let weight = |at: usize| ((at as f32 * 0.618_034).fract() - 0.5) * 0.25;
    let data: Vec<u8> = (0..width * 2).flat_map(|at| weight(at).to_le_bytes()).collect();
    let weights = [
        number(1, width as u64),
        number(1, 2),
        number(2, 1),
        field(8, b"weights"),
        field(9, &data),
    ]
    .concat();
    let node = |inputs: &[&str], output: &str, operator: &str| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
        [inputs, field(2, output.as_bytes()), field(4, operator.as_bytes())].concat()
    };
    let value = |name: &str, width: u64| {
        let shape = [field(1, &field(2, b"n")), field(1, &number(1, width))].concat();
        let tensor = [number(1, 1), field(2, &shape)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    };
    let graph = [
        field(1, &node(&["features", "weights"], "product", "MatMul")),
        field(1, &node(&["product"], "scores", "Softmax")),
        field(2, b"foreign"),
        field(5, &weights),
        field(11, &value("features", width as u64)),
        field(12, &value("scores", 2)),
    ]
    .concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 13))].concat()
}

/// A field of bytes in a protobuf message.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A field that is a number.
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
