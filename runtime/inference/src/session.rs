//! One session of ONNX Runtime: the only file that names `ort`.
//!
//! Tensors go in and come out in the protocol's layout or as plain numbers, so that no other file depends on ONNX
//! Runtime's types. Nothing here checks a caller's input: by now it has been.

use std::{error::Error as _, fmt::Write as _, path::Path, sync::Arc};

use bytes::Bytes;
use forebay_oip::{Datatype, RequestedOutput, Tensor};
use ort::{
    ep,
    error::ErrorCode,
    logging::LogLevel,
    session::{RunOptions, Session as OrtSession, builder::GraphOptimizationLevel, builder::SessionBuilder},
    value::{DynValue, Outlet, PrimitiveTensorElementType, Tensor as OrtTensor, TensorElementType, ValueType},
};

use crate::{
    Device, InferenceError,
    cancel::Cancel,
    signature::{Dimension, Signature},
    text::clip,
};

/// ONNX Runtime's environment, of which a process has one.
#[derive(Debug)]
pub(crate) struct Environment(ort::environment::Environment);

impl Environment {
    /// Loads the library. The error is a sentence for the operator.
    ///
    /// Nothing else of `ort` may be called before this succeeded: without a library most of its functions panic.
    pub(crate) fn open(library: &Path) -> Result<Self, String> {
        let builder = ort::init_from(library).map_err(|error| with_causes(&error))?;
        builder.with_name("forebay").with_telemetry(false).build().map(Self).map_err(|error| describe(&error))
    }
}

/// How a session is to be opened.
pub(crate) struct SessionSettings<'a> {
    /// The model's `.onnx` file. External data is looked for beside it; ONNX Runtime refuses paths that lead elsewhere.
    pub(crate) model: &'a Path,
    pub(crate) device: Device,
    pub(crate) require_gpu: bool,
    pub(crate) intra_threads: usize,
}

/// A loaded model that runs one request at a time.
#[derive(Debug)]
pub(crate) struct Session {
    session: OrtSession,
    device: Device,
    inputs: Vec<Signature>,
    outputs: Vec<Signature>,
}

/// One input of a run.
pub(crate) enum Input {
    /// In the protocol's layout.
    Tensor(Tensor),
    /// Numbers that were made here.
    Int64 { name: &'static str, shape: Vec<u64>, data: Vec<i64> },
    /// Numbers that were made here.
    Float32 { name: String, shape: Vec<u64>, data: Vec<f32> },
}

/// Why a run gave nothing.
#[derive(Debug)]
pub(crate) enum RunError {
    /// It was cancelled.
    Stopped,
    /// ONNX Runtime calls it an invalid argument.
    Argument(String),
    /// An output is over the limit.
    TooLarge { output: String, bytes: usize, max_bytes: usize },
    /// The device failed.
    Device(String),
    /// Anything else.
    Failed(String),
}

impl Session {
    /// Loads the model. Blocks for as long as that takes.
    pub(crate) fn open(environment: &Environment, settings: &SessionSettings<'_>) -> Result<Self, InferenceError> {
        let refuse = |reason: String| InferenceError::model(settings.model, reason);

        let (mut builder, device) = on_device(environment, settings)?;
        let session = builder.commit_from_file(settings.model).map_err(|error| refuse(describe(&error)))?;
        let inputs = session.inputs().iter().map(signature).collect::<Result<_, _>>().map_err(refuse)?;
        let outputs = session.outputs().iter().map(signature).collect::<Result<_, _>>().map_err(refuse)?;
        Ok(Self { session, device, inputs, outputs })
    }

    /// The device that the session was given.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// What the graph takes.
    pub(crate) fn inputs(&self) -> &[Signature] {
        &self.inputs
    }

    /// What the graph gives.
    pub(crate) fn outputs(&self) -> &[Signature] {
        &self.outputs
    }

    /// Runs the graph once. Cancelling stops it between two of its nodes.
    pub(crate) fn run(&mut self, inputs: Vec<Input>, cancel: &Cancel) -> Result<Outputs, RunError> {
        let values = inputs.into_iter().map(value).collect::<ort::Result<Vec<_>>>().map_err(|e| failure(&e, cancel))?;
        let options = Arc::new(RunOptions::new().map_err(|error| failure(&error, cancel))?);
        let stop = Arc::clone(&options);
        let result = cancel.guard(
            move || {
                // It can only fail if ONNX Runtime is broken; then the run goes on and its answer is dropped.
                let _ = stop.terminate();
            },
            || self.session.run_with_options(values, &options),
        );
        let mut outputs = result.map_err(|error| failure(&error, cancel))?;
        let values = self
            .outputs
            .iter()
            .filter_map(|signature| Some((signature.clone(), outputs.remove(&signature.name)?)))
            .collect();
        Ok(Outputs { values })
    }
}

/// What a run gave.
pub(crate) struct Outputs {
    values: Vec<(Signature, DynValue)>,
}

impl Outputs {
    /// The shape and numbers of an FP32 output.
    pub(crate) fn float32(&self, name: &str) -> Result<(Vec<u64>, &[f32]), RunError> {
        let (_, value) = self
            .values
            .iter()
            .find(|(signature, _)| signature.name == name)
            .ok_or_else(|| RunError::Failed(format!("the run gave no output `{name}`")))?;
        let (shape, data) = value.try_extract_tensor::<f32>()?;
        Ok((sizes(shape), data))
    }

    /// The outputs asked for, in the order asked for; all if none is.
    pub(crate) fn tensors(&self, requested: &[RequestedOutput], max_bytes: usize) -> Result<Vec<Tensor>, RunError> {
        let convert = |(signature, value): &(Signature, DynValue)| tensor(signature, value, max_bytes);
        if requested.is_empty() {
            return self.values.iter().map(convert).collect();
        }
        let find = |wanted: &RequestedOutput| self.values.iter().find(|(signature, _)| signature.name == wanted.name);
        requested.iter().filter_map(find).map(convert).collect()
    }
}

/// A builder on the device asked for, or on the processor if the device cannot be had and need not be.
fn on_device(
    environment: &Environment,
    settings: &SessionSettings<'_>,
) -> Result<(SessionBuilder, Device), InferenceError> {
    let refuse = |error: ort::Error| InferenceError::model(settings.model, describe(&error));

    // Without `error_on_failure` a provider that is missing is passed over in silence.
    let providers = match settings.device {
        Device::Cpu => vec![],
        Device::Cuda => vec![ep::CUDA::default().build().error_on_failure()],
        Device::TensorRt => {
            vec![ep::TensorRT::default().build().error_on_failure(), ep::CUDA::default().build().error_on_failure()]
        }
    };
    let builder = base_builder(environment, settings).map_err(refuse)?;
    if providers.is_empty() {
        return Ok((builder, Device::Cpu));
    }
    match builder.with_execution_providers(providers) {
        Ok(builder) => Ok((builder, settings.device)),
        Err(error) if settings.require_gpu => Err(InferenceError::GpuRequired {
            requested: settings.device,
            reason: clip(error.message(), MESSAGE_CHARS),
        }),
        Err(error) => {
            tracing::warn!(
                model = %settings.model.display(), requested = %settings.device, reason = %clip(error.message(), MESSAGE_CHARS),
                "the device cannot be used; the model runs on the processor"
            );
            // A fresh builder: the failed one may hold the first of two providers.
            Ok((base_builder(environment, settings).map_err(refuse)?, Device::Cpu))
        }
    }
}

fn base_builder(environment: &Environment, settings: &SessionSettings<'_>) -> ort::Result<SessionBuilder> {
    let builder = OrtSession::builder(&environment.0)?
        .with_log_level(LogLevel::Warning)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(settings.intra_threads)?
        // A thread that spins while it waits takes a core away from the other models of the node.
        .with_intra_op_spinning(false)?;
    Ok(builder)
}

fn signature(outlet: &Outlet) -> Result<Signature, String> {
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return Err(format!("`{}` is a {}, which is no tensor", outlet.name(), outlet.dtype()));
    };
    let datatype = datatype(*ty).ok_or_else(|| format!("`{}` has elements of type {ty}", outlet.name()))?;
    let dimension = |(place, size): (usize, &i64)| match (u64::try_from(*size), dimension_symbols.get(place)) {
        (Ok(size), _) => Dimension::Fixed(size),
        (Err(_), Some(name)) if !name.is_empty() => Dimension::Named(name.clone()),
        (Err(_), _) => Dimension::Any,
    };
    let dimensions = shape.iter().enumerate().map(dimension).collect();
    Ok(Signature { name: outlet.name().to_owned(), datatype, dimensions })
}

fn datatype(element: TensorElementType) -> Option<Datatype> {
    Some(match element {
        TensorElementType::Bool => Datatype::Bool,
        TensorElementType::Uint8 => Datatype::Uint8,
        TensorElementType::Uint16 => Datatype::Uint16,
        TensorElementType::Uint32 => Datatype::Uint32,
        TensorElementType::Uint64 => Datatype::Uint64,
        TensorElementType::Int8 => Datatype::Int8,
        TensorElementType::Int16 => Datatype::Int16,
        TensorElementType::Int32 => Datatype::Int32,
        TensorElementType::Int64 => Datatype::Int64,
        TensorElementType::Float16 => Datatype::Fp16,
        TensorElementType::Bfloat16 => Datatype::Bf16,
        TensorElementType::Float32 => Datatype::Fp32,
        TensorElementType::Float64 => Datatype::Fp64,
        TensorElementType::String => Datatype::Bytes,
        _ => return None,
    })
}

fn value(input: Input) -> ort::Result<(String, DynValue)> {
    Ok(match input {
        Input::Tensor(tensor) => {
            let value = value_of_tensor(&tensor)?;
            (tensor.name, value)
        }
        Input::Int64 { name, shape, data } => {
            (name.to_owned(), OrtTensor::from_array((dimensions(&shape)?, data))?.into_dyn())
        }
        Input::Float32 { name, shape, data } => (name, OrtTensor::from_array((dimensions(&shape)?, data))?.into_dyn()),
    })
}

fn value_of_tensor(tensor: &Tensor) -> ort::Result<DynValue> {
    match tensor.datatype {
        Datatype::Bool => read(tensor, |[byte]: [u8; 1]| byte != 0),
        Datatype::Uint8 => read(tensor, u8::from_le_bytes),
        Datatype::Uint16 => read(tensor, u16::from_le_bytes),
        Datatype::Uint32 => read(tensor, u32::from_le_bytes),
        Datatype::Uint64 => read(tensor, u64::from_le_bytes),
        Datatype::Int8 => read(tensor, i8::from_le_bytes),
        Datatype::Int16 => read(tensor, i16::from_le_bytes),
        Datatype::Int32 => read(tensor, i32::from_le_bytes),
        Datatype::Int64 => read(tensor, i64::from_le_bytes),
        Datatype::Fp16 => read(tensor, half::f16::from_le_bytes),
        Datatype::Bf16 => read(tensor, half::bf16::from_le_bytes),
        Datatype::Fp32 => read(tensor, f32::from_le_bytes),
        Datatype::Fp64 => read(tensor, f64::from_le_bytes),
        Datatype::Bytes => read_strings(tensor),
    }
}

fn read<T, const N: usize>(tensor: &Tensor, number: fn([u8; N]) -> T) -> ort::Result<DynValue>
where
    T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    let (elements, _rest) = tensor.data.as_chunks::<N>();
    let data: Vec<T> = elements.iter().map(|element| number(*element)).collect();
    Ok(OrtTensor::from_array((dimensions(&tensor.shape)?, data))?.into_dyn())
}

fn read_strings(tensor: &Tensor) -> ort::Result<DynValue> {
    let invalid = |reason: String| ort::Error::new_with_code(ErrorCode::InvalidArgument, reason);
    let strings = tensor
        .bytes_elements()
        .map_err(|error| invalid(error.to_string()))?
        .map(|element| {
            let element = element.map_err(|error| invalid(error.to_string()))?;
            String::from_utf8(element.to_vec()).map_err(|error| invalid(error.to_string()))
        })
        .collect::<ort::Result<Vec<String>>>()?;
    Ok(OrtTensor::from_string_array((dimensions(&tensor.shape)?, strings.as_slice()))?.into_dyn())
}

fn tensor(signature: &Signature, value: &DynValue, max_bytes: usize) -> Result<Tensor, RunError> {
    let bounded = |bytes: usize| match bytes {
        within if within <= max_bytes => Ok(()),
        bytes => Err(RunError::TooLarge { output: signature.name.clone(), bytes, max_bytes }),
    };
    let (shape, data) = match signature.datatype {
        Datatype::Bool => write(value, bounded, |flag: bool| [u8::from(flag)]),
        Datatype::Uint8 => write(value, bounded, u8::to_le_bytes),
        Datatype::Uint16 => write(value, bounded, u16::to_le_bytes),
        Datatype::Uint32 => write(value, bounded, u32::to_le_bytes),
        Datatype::Uint64 => write(value, bounded, u64::to_le_bytes),
        Datatype::Int8 => write(value, bounded, i8::to_le_bytes),
        Datatype::Int16 => write(value, bounded, i16::to_le_bytes),
        Datatype::Int32 => write(value, bounded, i32::to_le_bytes),
        Datatype::Int64 => write(value, bounded, i64::to_le_bytes),
        Datatype::Fp16 => write(value, bounded, half::f16::to_le_bytes),
        Datatype::Bf16 => write(value, bounded, half::bf16::to_le_bytes),
        Datatype::Fp32 => write(value, bounded, f32::to_le_bytes),
        Datatype::Fp64 => write(value, bounded, f64::to_le_bytes),
        Datatype::Bytes => return write_strings(signature, value, bounded),
    }?;
    Ok(Tensor::from_raw(&signature.name, signature.datatype, shape, data))
}

fn write<T, const N: usize>(
    value: &DynValue,
    bounded: impl Fn(usize) -> Result<(), RunError>,
    bytes: fn(T) -> [u8; N],
) -> Result<(Vec<u64>, Bytes), RunError>
where
    T: PrimitiveTensorElementType + Copy,
{
    let (shape, numbers) = value.try_extract_tensor::<T>()?;
    bounded(numbers.len().saturating_mul(N))?;
    let mut data = Vec::with_capacity(numbers.len().saturating_mul(N));
    for number in numbers {
        data.extend_from_slice(&bytes(*number));
    }
    Ok((sizes(shape), data.into()))
}

fn write_strings(
    signature: &Signature,
    value: &DynValue,
    bounded: impl Fn(usize) -> Result<(), RunError>,
) -> Result<Tensor, RunError> {
    let (shape, strings) = value.try_extract_strings()?;
    bounded(strings.iter().map(|text| text.len() + size_of::<u32>()).fold(0, usize::saturating_add))?;
    Ok(Tensor::from_strings(&signature.name, sizes(shape), strings.iter().map(String::as_bytes)))
}

fn dimensions(shape: &[u64]) -> ort::Result<Vec<i64>> {
    shape
        .iter()
        .map(|size| i64::try_from(*size))
        .collect::<Result<_, _>>()
        .map_err(|_overflow| ort::Error::new_with_code(ErrorCode::InvalidArgument, "a dimension over 2^63"))
}

fn sizes(shape: &[i64]) -> Vec<u64> {
    shape.iter().map(|size| u64::try_from(*size).unwrap_or(0)).collect()
}

fn failure(error: &ort::Error, cancel: &Cancel) -> RunError {
    if cancel.is_cancelled() {
        return RunError::Stopped;
    }
    let reason = describe(error);
    match error.code() {
        ErrorCode::InvalidArgument => RunError::Argument(reason),
        ErrorCode::EngineError | ErrorCode::ExecutionProviderFailure | ErrorCode::DeviceReset => {
            RunError::Device(reason)
        }
        _ if error.message().contains(CUDA_FAILURE) => RunError::Device(reason),
        _ => RunError::Failed(reason),
    }
}

/// For what can fail after a run: values that are there are read.
impl From<ort::Error> for RunError {
    fn from(error: ort::Error) -> Self {
        Self::Failed(describe(&error))
    }
}

/// Stands in every message of ONNX Runtime about a call of CUDA's libraries that failed (`CudaCall` in its
/// `cuda_call.cc`), which come with no code of their own.
const CUDA_FAILURE: &str = "; GPU=";

/// Longest piece of ONNX Runtime's text that is kept, in characters: it may hold whatever a model's file holds.
const MESSAGE_CHARS: usize = 400;

fn describe(error: &ort::Error) -> String {
    clip(error.message(), MESSAGE_CHARS)
}

/// A loading error with its causes: the outermost says only that it failed.
fn with_causes(error: &ort::LoadDynamicError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {inner}");
        cause = inner.source();
    }
    clip(&text, MESSAGE_CHARS)
}
