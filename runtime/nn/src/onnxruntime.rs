//! ONNX by ONNX Runtime's own library, opened where one is found. A session takes one call at a time, so each graph keeps
//! as many sessions as ever ran at once.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use ort::{
    environment::Environment,
    session::{Session, SessionInputValue},
    value::{DynValue, PrimitiveTensorElementType, Tensor as Value, TensorElementType},
};
use parking_lot::Mutex;
use tidemill_core::{Error, Result};

use crate::{Backend, ElementType, Graph, Tensor, arrange};

/// The library's file in a package.
const FILE: &str = if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// Where the library is: `ORT_DYLIB_PATH`, else in the package that this program belongs to, else inside an installed Python `onnxruntime`.
pub fn find_onnxruntime() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from) {
        if !path.is_file() {
            tracing::warn!("ORT_DYLIB_PATH names `{}`, which is no file: models run on tract", path.display());
            return None;
        }
        return Some(path);
    }
    let program = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    let installed = program.as_deref().and_then(Path::parent).and_then(installed_onnxruntime);
    installed.or_else(find_in_python)
}

/// The library of the package whose programs are in this folder: `lib/tidemill` beside it.
fn installed_onnxruntime(programs: &Path) -> Option<PathBuf> {
    let file = programs.parent()?.join("lib/tidemill").join(FILE);
    file.is_file().then_some(file)
}

fn find_in_python() -> Option<PathBuf> {
    let script = "import importlib.util as u; print(u.find_spec('onnxruntime').submodule_search_locations[0])";
    // Isolated and from the root: a folder `onnxruntime` where the user stands, which may be anybody's project, is not looked into.
    let output = Command::new("python3")
        .args(["-I", "-c", script])
        .current_dir("/")
        .output()
        .ok()
        .filter(|o| o.status.success())?;
    let folder = Path::new(String::from_utf8(output.stdout).ok()?.trim()).join("capi");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libonnxruntime.") || name == "onnxruntime.dll"
    });
    found.sort();
    found.into_iter().next()
}

/// The native engine.
#[derive(Clone)]
pub struct OnnxRuntime(Environment);

impl OnnxRuntime {
    /// Opens the library; the first one opened in a process stays.
    pub fn open(library: &Path) -> Result<Self> {
        let unusable = |error: &dyn std::fmt::Display| {
            Error::config(format!(
                "`{}` cannot be used as ONNX Runtime: {error}; set ORT_DYLIB_PATH to a library of version 1.17 or later",
                library.display()
            ))
        };
        let builder = ort::init_from(library).map_err(|e| unusable(&e))?;
        builder.build().map(Self).map_err(|e| unusable(&e))
    }
}

struct NativeGraph {
    environment: Environment,
    model: String,
    bytes: Vec<u8>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    idle: Mutex<Vec<Session>>,
}

impl Backend for OnnxRuntime {
    fn load(&self, model: &str, bytes: &[u8]) -> Result<Arc<dyn Graph>> {
        let session = open(&self.0, model, bytes)?;
        let names = |outlets: &[ort::value::Outlet]| outlets.iter().map(|o| o.name().to_owned()).collect();
        Ok(Arc::new(NativeGraph {
            environment: self.0.clone(),
            model: model.to_owned(),
            bytes: bytes.to_vec(),
            inputs: names(session.inputs()),
            outputs: names(session.outputs()),
            idle: Mutex::new(vec![session]),
        }))
    }
}

fn open(environment: &Environment, model: &str, bytes: &[u8]) -> Result<Session> {
    let foreign = |error: &dyn std::fmt::Display| Error::input(format!("`{model}` is not an ONNX model that can be run: {error}"));
    let builder = Session::builder(environment).map_err(|e| foreign(&e))?;
    let mut builder = builder.with_intra_threads(1).map_err(|e| foreign(&e))?;
    builder.commit_from_memory(bytes).map_err(|e| foreign(&e))
}

impl Graph for NativeGraph {
    fn compute(&self, inputs: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let unfit = |error: ort::Error| Error::input(format!("model `{}` cannot take these inputs: {error}", self.model));
        let inputs = arrange(&self.model, &self.inputs, inputs)?;
        let values = inputs.into_iter().map(into_value).collect::<ort::Result<Vec<_>>>().map_err(unfit)?;
        let named: Vec<(&str, SessionInputValue<'_>)> = self
            .inputs
            .iter()
            .zip(values)
            .map(|(name, value)| (name.as_str(), value.into()))
            .collect();
        let idle = self.idle.lock().pop();
        let mut session = match idle {
            Some(session) => session,
            None => open(&self.environment, &self.model, &self.bytes)?,
        };
        let outputs = {
            let outputs = session.run(named).map_err(unfit)?;
            self.outputs
                .iter()
                .map(|name| Ok((name.clone(), from_value(&outputs[name.as_str()])?)))
                .collect()
        };
        self.idle.lock().push(session);
        outputs
    }
}

fn into_value(tensor: Tensor) -> ort::Result<DynValue> {
    let shape = tensor.shape.clone();
    Ok(match tensor.kind {
        ElementType::F16 => Value::from_array((shape, tensor.map_elements(|b: [u8; 2]| half::f16::from_le_bytes(b))))?.into_dyn(),
        ElementType::Bf16 => Value::from_array((shape, tensor.map_elements(|b: [u8; 2]| half::bf16::from_le_bytes(b))))?.into_dyn(),
        ElementType::F32 => Value::from_array((shape, tensor.map_elements(f32::from_le_bytes)))?.into_dyn(),
        ElementType::F64 => Value::from_array((shape, tensor.map_elements(f64::from_le_bytes)))?.into_dyn(),
        ElementType::U8 => Value::from_array((shape, tensor.data))?.into_dyn(),
        ElementType::I32 => Value::from_array((shape, tensor.map_elements(i32::from_le_bytes)))?.into_dyn(),
        ElementType::I64 => Value::from_array((shape, tensor.map_elements(i64::from_le_bytes)))?.into_dyn(),
    })
}

fn from_value(value: &DynValue) -> Result<Tensor> {
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float16) => extract(value, ElementType::F16, half::f16::to_le_bytes),
        Some(TensorElementType::Bfloat16) => extract(value, ElementType::Bf16, half::bf16::to_le_bytes),
        Some(TensorElementType::Float32) => extract(value, ElementType::F32, f32::to_le_bytes),
        Some(TensorElementType::Float64) => extract(value, ElementType::F64, f64::to_le_bytes),
        Some(TensorElementType::Uint8) => extract(value, ElementType::U8, u8::to_le_bytes),
        Some(TensorElementType::Bool) => extract(value, ElementType::U8, |b: bool| [u8::from(b)]),
        Some(TensorElementType::Int32) => extract(value, ElementType::I32, i32::to_le_bytes),
        Some(TensorElementType::Int64) => extract(value, ElementType::I64, i64::to_le_bytes),
        other => Err(Error::input(format!("an output is of type {other:?}, which wasi:nn does not have"))),
    }
}

fn extract<T: PrimitiveTensorElementType + Copy, const N: usize>(
    value: &DynValue,
    kind: ElementType,
    write: impl Fn(T) -> [u8; N],
) -> Result<Tensor> {
    let (shape, values) = value
        .try_extract_tensor::<T>()
        .map_err(|e| Error::bug(format!("an output cannot be read: {e}")))?;
    Ok(Tensor {
        shape: shape.iter().map(|length| usize::try_from(*length).unwrap_or(0)).collect(),
        kind,
        data: values.iter().flat_map(|v| write(*v)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_brings_the_library() {
        let prefix = std::env::temp_dir().join(format!("tidemill-nn-{}", std::process::id()));
        let library = prefix.join("lib/tidemill").join(FILE);
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        assert_eq!(installed_onnxruntime(&prefix.join("bin")), None);
        std::fs::write(&library, "").unwrap();
        assert_eq!(installed_onnxruntime(&prefix.join("bin")), Some(library));
        std::fs::remove_dir_all(&prefix).unwrap();
    }

    /// Skipped where the library is absent.
    #[test]
    fn agrees_with_tract() {
        let Some(path) = find_onnxruntime() else {
            assert!(
                std::env::var_os("TIDEMILL_REQUIRE_ONNXRUNTIME").is_none(),
                "the library is required and was not found"
            );
            return;
        };
        let native = OnnxRuntime::open(&path).unwrap();
        let model = tidemill_ml::TrainedModel::Linear(tidemill_ml::linear::Linear {
            loss: tidemill_ml::loss::Loss::Squared,
            weights: vec![1.0, 2.0],
            intercept: vec![0.5],
            iterations: 0,
        });
        let bytes = tidemill_ml::onnx::export(&model, &["a".to_owned(), "b".to_owned()], &[]);
        let input = || vec![("features".to_owned(), Tensor::from_f32(vec![2, 2], &[1.0, 2.0, 3.0, 4.0]).unwrap())];
        let one = native.load("m", &bytes).unwrap().compute(input()).unwrap();
        let two = crate::Tract.load("m", &bytes).unwrap().compute(input()).unwrap();
        assert_eq!(one, two);
        assert!(native.load("broken.onnx", b"junk").err().unwrap().message.contains("`broken.onnx`"));
    }
}
