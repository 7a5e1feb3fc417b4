//! The curves of the page, as SVG. What the page says around them is `html`.

use std::error::Error;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::measure::Latencies;

/// One curve: its name in the legend, and its points.
pub(super) struct Curve<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
    /// Drawn wider than the others.
    pub(super) main: bool,
}

/// Colours that tell curves apart, also for those who see fewer of them (Okabe and Ito's).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(110, 110, 110),
];
const INK: RGBColor = RGBColor(70, 70, 70);
const GRID: RGBColor = RGBColor(232, 232, 232);
const SIZE: (u32, u32) = (960, 340);
const FONT: &str = "sans-serif";
const FONT_SIZE: u32 = 13;
/// The curve of percentiles ends here: 1 - 10^-5.
const NINES_MAX: f64 = 5.0;
/// Points of a curve of percentiles.
const STEPS: u32 = 250;

type Drawing<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = Result<String, Box<dyn Error>>;

/// A histogram as a curve: how many nines, and milliseconds. It ends where there is but one message.
pub(super) fn percentiles<'a>(name: &'a str, latencies: &Latencies, main: bool) -> Curve<'a> {
    let last = (latencies.len().max(1) as f64).log10().min(NINES_MAX);
    let points = (0..=STEPS)
        .map(|step| last * f64::from(step) / f64::from(STEPS))
        .map(|nines| {
            let quantile = 1.0 - 10f64.powf(-nines);
            (nines, (latencies.value_at_quantile(quantile) as f64 / 1e6).max(1e-4))
        })
        .collect();
    Curve { name, points, main }
}

/// Latency by percentile: the further right, the rarer. Both axes are logarithmic.
pub(super) fn percentile_chart(curves: &[Curve<'_>]) -> Drawn {
    let values = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.1);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(0.0, f64::max);
    if !low.is_finite() {
        return Ok(String::new());
    }
    let nines = curves.iter().flat_map(|curve| &curve.points).map(|point| point.0);
    let nines_max = nines.fold(1.0, f64::max).ceil();
    // Whole decades and halves of them, so that the first and last line have a number.
    let decades = ((low.log10() * 2.0).floor() / 2.0, (high.log10() * 2.0).ceil() / 2.0 + 0.01);
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(32)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..nines_max, decades.0..decades.1)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style((FONT, FONT_SIZE, &INK))
            .x_labels(nines_max as usize + 1)
            .y_labels(8)
            .x_label_formatter(&|nines| nines_as_percentile(*nines))
            .y_label_formatter(&|decade| milliseconds(10f64.powf(*decade)))
            .x_desc("percentile")
            .y_desc("milliseconds")
            .draw()?;
        let logarithmic: Vec<Curve<'_>> = curves
            .iter()
            .map(|curve| Curve {
                name: curve.name,
                points: curve.points.iter().map(|(nines, ms)| (*nines, ms.log10())).collect(),
                main: curve.main,
            })
            .collect();
        lines(&mut chart, &logarithmic, SeriesLabelPosition::UpperLeft)
    })
}

/// Something over the seconds of a run, from zero up.
pub(super) fn time_chart(unit: &str, curves: &[Curve<'_>]) -> Drawn {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let seconds = points().map(|point| point.0).fold(0.0, f64::max);
    let high = points().map(|point| point.1).fold(0.0, f64::max);
    if seconds <= 0.0 {
        return Ok(String::new());
    }
    let top = if high > 0.0 { high * 1.12 } else { 1.0 };
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_right(32)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..seconds, 0.0..top)?;
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style((FONT, FONT_SIZE, &INK))
            .x_labels(10)
            .y_labels(6)
            .x_label_formatter(&|value| rounded(*value))
            .y_label_formatter(&|value| rounded(*value))
            .x_desc("seconds")
            .y_desc(unit)
            .draw()?;
        lines(&mut chart, curves, SeriesLabelPosition::LowerRight)
    })
}

fn draw(on: impl FnOnce(&Drawing<'_>) -> Result<(), Box<dyn Error>>) -> Drawn {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        on(&area)?;
        area.present()?;
    }
    Ok(svg)
}

fn lines<'a>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    curves: &[Curve<'_>],
    legend: SeriesLabelPosition,
) -> Result<(), Box<dyn Error>>
where
    SVGBackend<'a>: DrawingBackend<ErrorType: 'static>,
{
    for (number, curve) in curves.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let style = colour.stroke_width(if curve.main { 3 } else { 2 });
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), style))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    // One curve is what the heading says.
    if curves.len() > 1 {
        chart
            .configure_series_labels()
            .position(legend)
            .margin(12)
            .label_font((FONT, FONT_SIZE, &INK))
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .draw()?;
    }
    Ok(())
}

fn nines_as_percentile(nines: f64) -> String {
    match nines.round() as u32 {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more as usize - 2)),
    }
}

fn milliseconds(value: f64) -> String {
    match value {
        value if value < 0.1 => format!("{value:.3}"),
        value if value < 1.0 => format!("{value:.2}"),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn rounded(value: f64) -> String {
    match value {
        value if value >= 1000.0 => {
            let (thousands, rest) = ((value / 1e3).floor(), value % 1e3);
            format!("{thousands:.0},{rest:03.0}")
        }
        value if value >= 10.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}
