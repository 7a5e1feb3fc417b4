//! The report as one page.

use std::error::Error;

use super::Summary;
use crate::measure::Measure;

pub(crate) fn render(_summary: &Summary, _measure: &Measure) -> Result<String, Box<dyn Error>> {
    Ok(String::new())
}
