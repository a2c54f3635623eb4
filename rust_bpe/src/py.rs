//! The Python module: numpy in and out, the interpreter lock released while working.
//!
//! Every refusal is a `ValueError`; the Python side turns it into its own error class.

use std::time::{Duration, Instant};

use numpy::ndarray::Array2;
use numpy::{
    PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::encode;
use crate::filter::{self, Filter};
use crate::merges::{BpeError, Merges, MAX_MERGES, NUM_BASE_IDS};
use crate::quantise::Quantiser;
use crate::standardise;
use crate::text::Cell;
use crate::train::{self, Options, Stop};

impl From<BpeError> for PyErr {
    fn from(error: BpeError) -> Self {
        PyValueError::new_err(error.0)
    }
}

/// Immutable encoder and decoder; safe to share between threads.
#[pyclass(frozen, module = "ecg_bpe")]
struct Encoder {
    inner: encode::Encoder,
}

#[pymethods]
impl Encoder {
    #[new]
    fn new(py: Python<'_>, merges: &Bound<'_, PyAny>, mode: &str) -> PyResult<Self> {
        let pairs = pairs_of(merges)?;
        let inner = py.detach(|| encode::Encoder::new(&Merges::new(pairs)?, mode))?;
        Ok(Self { inner })
    }

    fn encode<'py>(&self, py: Python<'py>, data: &[u8]) -> Bound<'py, PyArray1<u32>> {
        PyArray1::from_vec(py, py.detach(|| self.inner.encode(data)))
    }

    #[pyo3(signature = (sequences, num_threads = 0))]
    fn encode_batch<'py>(
        &self,
        py: Python<'py>,
        sequences: Vec<Bound<'py, PyBytes>>,
        num_threads: usize,
    ) -> Vec<Bound<'py, PyArray1<u32>>> {
        let views: Vec<&[u8]> = sequences.iter().map(|x| x.as_bytes()).collect();
        arrays(
            py,
            py.detach(|| self.inner.encode_batch(&views, num_threads)),
        )
    }

    /// `values`: float32 or float64 (N, P) in any memory order; `quantiser`: low, scale, num_symbols.
    #[pyo3(signature = (values, quantiser, num_threads = 0))]
    fn encode_signals<'py>(
        &self,
        py: Python<'py>,
        values: &Bound<'py, PyAny>,
        quantiser: &Bound<'py, PyAny>,
        num_threads: usize,
    ) -> PyResult<Vec<Bound<'py, PyArray1<u32>>>> {
        let quantiser = Quantiser::new(
            quantiser.getattr("low")?.extract()?,
            quantiser.getattr("scale")?.extract()?,
            quantiser.getattr("num_symbols")?.extract()?,
        )?;
        let values = in_row_order(values)?;
        let ids = if let Ok(rows) = values.extract::<PyReadonlyArray2<'py, f32>>() {
            self.encode_rows(py, &rows, quantiser, num_threads)?
        } else {
            let rows = values.extract::<PyReadonlyArray2<'py, f64>>()?;
            self.encode_rows(py, &rows, quantiser, num_threads)?
        };
        Ok(arrays(py, ids))
    }

    fn decode<'py>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let ids = vector_of::<i64>(ids)?;
        let ids = ids.as_slice()?;
        let bytes = py.detach(|| self.inner.decode(ids))?;
        Ok(PyBytes::new(py, &bytes))
    }
}

impl Encoder {
    fn encode_rows<T: numpy::Element + Copy + Into<f64> + Sync>(
        &self,
        py: Python<'_>,
        rows: &PyReadonlyArray2<'_, T>,
        quantiser: Quantiser,
        num_threads: usize,
    ) -> PyResult<Vec<Vec<u32>>> {
        let (num_rows, length) = (rows.shape()[0], rows.shape()[1]);
        if length == 0 {
            return Ok(vec![vec![]; num_rows]);
        }
        let values = rows.as_slice()?;
        Ok(py.detach(|| {
            self.inner
                .encode_signals(values, length, quantiser, num_threads)
        }))
    }
}

/// Return an array whose memory is in C order and aligned: the same one, or a copy of it.
///
/// A slice of an array is its memory, so rows of a Fortran-order array would come mixed up.
fn in_row_order<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let untyped = array.cast::<PyUntypedArray>()?;
    if untyped.is_c_contiguous() && untyped.is_aligned() {
        return Ok(array.clone());
    }
    array.call_method1("copy", ("C",))
}

/// Bring a two-dimensional array into C order, see [`in_row_order`].
fn rows_of<'py, T: numpy::Element>(
    array: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArray2<'py, T>> {
    in_row_order(array)?.extract()
}

/// Bring a vector into one piece, see [`in_row_order`].
fn vector_of<'py, T: numpy::Element>(
    array: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArray1<'py, T>> {
    in_row_order(array)?.extract()
}

fn arrays<'py>(py: Python<'py>, ids: Vec<Vec<u32>>) -> Vec<Bound<'py, PyArray1<u32>>> {
    ids.into_iter()
        .map(|ids| PyArray1::from_vec(py, ids))
        .collect()
}

fn pairs_of(merges: &Bound<'_, PyAny>) -> PyResult<Vec<(u32, u32)>> {
    let merges = rows_of::<i64>(merges)?;
    let wrong = || PyValueError::new_err("merges must be an (M, 2) int64 array of ids");
    if merges.shape()[1] != 2 {
        return Err(wrong());
    }
    let rows = merges.as_array();
    rows.outer_iter()
        .map(|row| match (u32::try_from(row[0]), u32::try_from(row[1])) {
            (Ok(left), Ok(right)) => Ok((left, right)),
            _ => Err(wrong()),
        })
        .collect()
}

enum AnyTrainer {
    Narrow(train::Trainer<u16>),
    Wide(train::Trainer<u32>),
}

/// Apply the same code to the trainer of either width.
macro_rules! each {
    ($any:expr, $trainer:ident => $code:expr) => {
        match $any {
            AnyTrainer::Narrow($trainer) => $code,
            AnyTrainer::Wide($trainer) => $code,
        }
    };
}

/// A training run: add sequences, then run until a stop reason is returned.
#[pyclass(module = "ecg_bpe")]
struct Trainer {
    inner: AnyTrainer,
}

#[pymethods]
impl Trainer {
    #[new]
    #[pyo3(signature = (num_merges, min_count = 1, num_threads = 0, prefix = None))]
    fn new(
        py: Python<'_>,
        num_merges: usize,
        min_count: u64,
        num_threads: usize,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let prefix = prefix.map(pairs_of).transpose()?.unwrap_or_default();
        let options = Options {
            num_merges,
            min_count,
            num_threads,
            prefix,
        };
        let fits = num_merges <= MAX_MERGES && NUM_BASE_IDS + num_merges <= u16::WALL_ID as usize;
        let inner = py.detach(|| -> Result<AnyTrainer, BpeError> {
            Ok(if fits {
                AnyTrainer::Narrow(train::Trainer::new(options)?)
            } else {
                AnyTrainer::Wide(train::Trainer::new(options)?)
            })
        })?;
        Ok(Self { inner })
    }

    /// Make room for this many symbols and sequence ends in one piece.
    fn reserve(&mut self, num_cells: usize) -> PyResult<()> {
        Ok(each!(&mut self.inner, trainer => trainer.text()?.reserve(num_cells))?)
    }

    /// Append symbols to the current sequence; `end` closes it. On resume, closing it encodes it,
    /// which may take long: other threads run meanwhile.
    #[pyo3(signature = (data, end = true))]
    fn add(&mut self, py: Python<'_>, data: &Bound<'_, PyAny>, end: bool) -> PyResult<()> {
        let data = vector_of::<u8>(data)?;
        let data = data.as_slice()?;
        let inner = &mut self.inner;
        Ok(py.detach(|| each!(inner, trainer => trainer.text()?.add(data, end)))?)
    }

    /// Merge until `max_merges` are done here, `max_seconds` are over or nothing is left to do;
    /// returns the number done and, at the end, why it ended.
    fn run(
        &mut self,
        py: Python<'_>,
        max_merges: usize,
        max_seconds: f64,
    ) -> PyResult<(usize, Option<&'static str>)> {
        let limit = Duration::try_from_secs_f64(max_seconds).unwrap_or(Duration::MAX);
        let inner = &mut self.inner;
        let (done, stop) = py.detach(|| -> Result<(usize, Option<Stop>), BpeError> {
            let start = Instant::now();
            let mut done = 0;
            while done < max_merges {
                match each!(&mut *inner, trainer => trainer.step())? {
                    None => done += 1,
                    stop => return Ok((done, stop)),
                }
                if start.elapsed() >= limit {
                    break;
                }
            }
            Ok((done, None))
        })?;
        Ok((done, stop.map(Stop::name)))
    }

    /// All merges so far, (M, 2) int64, those of the prefix included.
    fn merges<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<i64>> {
        merges_array(py, each!(&self.inner, trainer => trainer.merges()))
    }

    /// The count of each merge of this run when it was chosen.
    fn counts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u64>> {
        PyArray1::from_slice(py, each!(&self.inner, trainer => trainer.counts()))
    }

    /// (symbols, sequences) of the text.
    fn size(&self) -> (u64, u64) {
        each!(&self.inner, trainer => trainer.size())
    }
}

/// Train by counting everything again for every merge (oracle and baseline of the benchmark).
#[pyfunction]
#[pyo3(signature = (sequences, num_merges, min_count = 1))]
fn train_by_recount<'py>(
    py: Python<'py>,
    sequences: Vec<Bound<'py, PyBytes>>,
    num_merges: usize,
    min_count: u64,
) -> (Bound<'py, PyArray2<i64>>, Bound<'py, PyArray1<u64>>) {
    let views: Vec<&[u8]> = sequences.iter().map(|x| x.as_bytes()).collect();
    let (merges, counts) =
        py.detach(|| crate::recount::train_by_recount(&views, num_merges, min_count));
    (merges_array(py, &merges), PyArray1::from_vec(py, counts))
}

fn merges_array<'py>(py: Python<'py>, pairs: &[(u32, u32)]) -> Bound<'py, PyArray2<i64>> {
    let array = Array2::from_shape_fn((pairs.len(), 2), |(k, side)| {
        i64::from(if side == 0 { pairs[k].0 } else { pairs[k].1 })
    });
    PyArray2::from_owned_array(py, array)
}

/// Filter every lead of a float64 (L, T) forwards and backwards; None where the filter
/// has no kernel (then scipy does it) or the leads are not longer than the padding.
#[pyfunction]
fn zero_phase<'py>(
    py: Python<'py>,
    signal: &Bound<'py, PyAny>,
    numerator: &Bound<'py, PyAny>,
    denominator: &Bound<'py, PyAny>,
    initial_state: &Bound<'py, PyAny>,
    padding: usize,
) -> PyResult<Option<Bound<'py, PyArray2<f64>>>> {
    let signal = rows_of::<f64>(signal)?;
    let numerator = vector_of::<f64>(numerator)?;
    let denominator = vector_of::<f64>(denominator)?;
    let initial_state = vector_of::<f64>(initial_state)?;
    let shape = (signal.shape()[0], signal.shape()[1]);
    let filter = Filter {
        numerator: numerator.as_slice()?,
        denominator: denominator.as_slice()?,
        initial_state: initial_state.as_slice()?,
    };
    let values = signal.as_slice()?;
    let Some(filtered) = py.detach(|| filter::zero_phase(values, shape.1, filter, padding)) else {
        return Ok(None);
    };
    array_of(py, shape.0, shape.1, filtered).map(Some)
}

type TwoVectors<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

/// Standardise float64 leads (L, T) in place; return (mean, deviation). Leads in another memory order
/// are refused: a copy of them would be standardised in their place.
#[pyfunction]
fn standardise_leads<'py>(
    py: Python<'py>,
    mut leads: PyReadwriteArray2<'py, f64>,
    is_flat: &Bound<'py, PyAny>,
    flat_share: f64,
) -> PyResult<TwoVectors<'py>> {
    if !(leads.is_c_contiguous() && leads.is_aligned()) {
        return Err(PyValueError::new_err(
            "leads that are standardised in place must be C-contiguous and aligned",
        ));
    }
    let is_flat = vector_of::<bool>(is_flat)?;
    let (num_leads, num_samples) = (leads.shape()[0], leads.shape()[1]);
    let flags = is_flat.as_slice()?;
    if flags.len() != num_leads || num_samples == 0 {
        return Err(PyValueError::new_err(
            "one flag a lead, and samples, are needed",
        ));
    }
    let values = leads.as_slice_mut()?;
    let (mean, deviation) =
        py.detach(|| standardise::standardise(values, num_samples, flags, flat_share));
    Ok((
        PyArray1::from_vec(py, mean),
        PyArray1::from_vec(py, deviation),
    ))
}

/// Linear interpolation of float32 or float64 leads (L, T) to float64 (L, M).
#[pyfunction]
fn interpolate_leads<'py>(
    py: Python<'py>,
    signal: &Bound<'py, PyAny>,
    left: &Bound<'py, PyAny>,
    way: &Bound<'py, PyAny>,
    steps: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let signal = in_row_order(signal)?;
    let left = vector_of::<i64>(left)?;
    let way = vector_of::<f64>(way)?;
    let steps = vector_of::<f64>(steps)?;
    let grid = (left.as_slice()?, way.as_slice()?, steps.as_slice()?);
    let (num_leads, result) = if let Ok(leads) = signal.extract::<PyReadonlyArray2<'py, f32>>() {
        interpolated(py, &leads, grid)?
    } else {
        interpolated(py, &signal.extract::<PyReadonlyArray2<'py, f64>>()?, grid)?
    };
    array_of(py, num_leads, grid.0.len(), result)
}

fn interpolated<'py, T>(
    py: Python<'py>,
    leads: &PyReadonlyArray2<'py, T>,
    (left, way, steps): (&[i64], &[f64], &[f64]),
) -> PyResult<(usize, Vec<f64>)>
where
    T: numpy::Element + Copy + Into<f64> + std::ops::Sub<Output = T> + Sync,
{
    let values = leads.as_slice()?;
    let num_samples = leads.shape()[1];
    py.detach(|| standardise::interpolate(values, num_samples, left, way, steps))
        .map(|result| (leads.shape()[0], result))
        .ok_or_else(|| PyValueError::new_err("the grid does not fit the samples"))
}

fn array_of(
    py: Python<'_>,
    rows: usize,
    columns: usize,
    values: Vec<f64>,
) -> PyResult<Bound<'_, PyArray2<f64>>> {
    let array = Array2::from_shape_vec((rows, columns), values)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyArray2::from_owned_array(py, array))
}

/// Compiled core of the ECG-BPE tokenizer, of the filters of recordings and of question files.
#[pymodule]
fn ecg_bpe(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(train_by_recount, module)?)?;
    module.add_function(wrap_pyfunction!(zero_phase, module)?)?;
    module.add_function(wrap_pyfunction!(standardise_leads, module)?)?;
    module.add_function(wrap_pyfunction!(interpolate_leads, module)?)?;
    module.add_class::<Encoder>()?;
    module.add_class::<crate::py_lines::AlikeLines>()?;
    module.add_class::<Trainer>()
}
