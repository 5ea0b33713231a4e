//! The function that answers: one for all models of the project, behind a URL of its own that takes signed requests.

use tidemill_core::{Error, Result, pipeline::deployment::ServingConfig};

use super::{
    build::{Build, PREDICT_PROGRAM},
    function::{Program, STORAGE, add_server_alarms},
    names::Names,
    parameters::PUBLIC,
    resources::{Permission, Url},
    template::{Output, Resource, Section, Value},
};

/// Megabytes: CPU comes with memory, and an answer is CPU.
pub(super) const MEMORY: u64 = 1024;
/// Seconds; API Gateway would wait no longer either.
const TIMEOUT: u64 = 29;

/// Adds the function, if there is a model.
pub(super) fn add(build: &mut Build) -> Result<()> {
    let pipeline = build.pipeline;
    if pipeline.models.is_empty() {
        return Ok(());
    }
    if pipeline.predict_component != "tidemill:predict" {
        return Err(Error::config(format!(
            "[[stage]] `predict` has the component `{}`: on AWS Lambda only Tidemill's own program answers requests; leave `component` out, \
             or serve that component with `tidemill up` over the same bucket",
            pipeline.predict_component
        )));
    }
    let names = Names::new(&pipeline.project, "predict")?;
    let serving = ServingConfig::from_pipeline(pipeline);
    let config = build.config_file(&names, &serving)?;
    let mut variables = build.variables(config);
    variables.add("ORT_DYLIB_PATH", "/opt/lib/libonnxruntime.so".into());
    // The ONNX engine makes and drops errors in the normal course of a prediction: each would record a backtrace.
    variables.add("RUST_LIB_BACKTRACE", "0".into());
    let memory = build.memory("predict", MEMORY);
    let tags = build.tags("predict");
    let program = Program {
        names: &names,
        description: format!("Answers for the models of {}", pipeline.project),
        binary: build.add_program(PREDICT_PROGRAM),
        memory,
        timeout: TIMEOUT,
        storage: STORAGE,
        is_serial: false,
        variables,
        access: serving.access(),
        source: None,
        tags: tags.clone(),
    };
    program.add(&build.options.programs, &mut build.template.resources);
    address(&names, &mut build.template.resources, &mut build.template.outputs);
    add_server_alarms(&mut build.template.resources, &names, &tags);
    Ok(())
}

/// The URL. Who may call it is said by IAM policies of the callers, unless it is for everybody.
fn address(names: &Names, resources: &mut Section<Resource>, outputs: &mut Section<Output>) {
    let (function, url) = (names.resource("Function"), names.resource("Url"));
    let properties = Url {
        target_function_arn: Value::arn(&function),
        auth_type: Value::reference("PredictAuth"),
    };
    resources.add(&url, Resource::of(properties));
    let everybody = Permission {
        function_name: Value::reference(&function),
        action: "lambda:InvokeFunctionUrl",
        principal: "*",
        function_url_auth_type: Some("NONE"),
        invoked_via_function_url: None,
    };
    resources.add(names.resource("ForEverybody"), Resource::of(everybody.clone()).when(PUBLIC));
    // Since October 2025 a URL asks for both.
    let through_url = Permission {
        action: "lambda:InvokeFunction",
        function_url_auth_type: None,
        invoked_via_function_url: Some(true),
        ..everybody
    };
    resources.add(names.resource("ForEverybodyByUrl"), Resource::of(through_url).when(PUBLIC));
    outputs.add(
        "PredictUrl",
        Output {
            description: "Where models answer: POST /v2/models/<model>/infer, signed unless PredictAuth is NONE".to_owned(),
            value: Value::attribute(&url, "FunctionUrl"),
        },
    );
}
