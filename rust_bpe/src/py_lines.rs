//! Python's way to `alike_lines`.

use numpy::ndarray::Array2;
use numpy::{PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyTuple;

use crate::alike_lines::{self, Contents, Form};

/// Head, marks, tail, comma, bytes of the first and last mark that close what stands before them.
type FormOf = (
    PyBackedBytes,
    [PyBackedBytes; 4],
    PyBackedBytes,
    PyBackedBytes,
    [usize; 2],
);

/// Cuts the lines of a file, some of them at a time.
#[pyclass(module = "ecg_bpe")]
pub struct AlikeLines {
    form: FormOf,
    known: Contents,
}

#[pymethods]
impl AlikeLines {
    #[new]
    fn new(form: FormOf) -> Self {
        Self {
            form,
            known: Contents::default(),
        }
    }

    /// Cut lines out of uint8 (N,) text; None when a line has another form.
    ///
    /// `number`: of the first line in the file. Returns int64 arrays: places of names (M, 2), of
    /// the items of both lists (K, 2), numbers of items (M,), places of contents (M, 4), number of
    /// the first line in the file with the same content (M,).
    fn cut<'py>(
        &mut self,
        py: Python<'py>,
        text: PyReadonlyArray1<'py, u8>,
        starts: PyReadonlyArray1<'py, i64>,
        ends: PyReadonlyArray1<'py, i64>,
        number: i64,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Self { form, known } = self;
        let (head, marks, tail, comma, closing) = form;
        let form = Form {
            head,
            marks: marks.each_ref().map(|mark| mark.as_ref()),
            tail,
            comma,
            closing: *closing,
        };
        let text = text.as_slice()?;
        let bounds: Vec<(usize, usize)> = std::iter::zip(starts.as_slice()?, ends.as_slice()?)
            .map(|(&start, &end)| (start as usize, end as usize))
            .collect();
        let Some(parts) = py.detach(|| alike_lines::cut(text, &bounds, &form, known, number))
        else {
            return Ok(None);
        };
        let found = (
            array(py, &parts.names),
            array(py, &parts.first_items),
            array(py, &parts.second_items),
            PyArray1::from_vec(py, parts.counts),
            array(py, &parts.contents),
            PyArray1::from_vec(py, parts.alike),
        );
        found.into_pyobject(py).map(Some)
    }
}

fn array<'py, const N: usize>(py: Python<'py>, rows: &[[i64; N]]) -> Bound<'py, PyArray2<i64>> {
    PyArray2::from_owned_array(
        py,
        Array2::from_shape_fn((rows.len(), N), |(row, at)| rows[row][at]),
    )
}
