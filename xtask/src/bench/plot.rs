//! The page's pictures: lines over sizes, both axes logarithmic. Drawn so that they can be read on a light page and on a dark
//! one: nothing behind them, grey words, lines of middle brightness.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::figures::{FILTERS, Figures, number};

const WIDTH: u32 = 760;
const HEIGHT: u32 = 420;
const GREY: RGBColor = RGBColor(128, 134, 142);
const FONT: &str = "sans-serif";

/// A line: its name, and its points.
struct Line {
    filter: &'static str,
    points: Vec<(f64, f64)>,
}

struct Chart<'a> {
    title: &'a str,
    x: &'a str,
    y: &'a str,
    lines: Vec<Line>,
}

/// All pictures, by their file names.
pub(super) fn all(figures: &Figures) -> Result<Vec<(&'static str, String)>> {
    let by_size = |pointer: &str, factor: f64| -> Vec<Line> {
        let sizes = figures.common_sizes();
        let line = |filter: &'static str| Line {
            filter,
            points: sizes
                .iter()
                .filter_map(|size| Some((as_number(size.1), figures.of(filter, *size, pointer)?.median * factor)))
                .collect(),
        };
        FILTERS
            .into_iter()
            .map(line)
            .filter(|line| line.points.len() > 1)
            .collect()
    };
    let waits = FILTERS.into_iter().map(|filter| Line {
        filter,
        points: figures
            .rates()
            .iter()
            .enumerate()
            .filter(|(_, rate)| **rate > 0)
            .filter_map(|(at, rate)| {
                let wait = figures.of(filter, figures.base(), &format!("/latency/{at}/p99_us"))?;
                Some((as_number(*rate), wait.median / 1e3))
            })
            .collect(),
    });
    let waits = waits.filter(|line| !line.points.is_empty()).collect();
    let size = "bans, and as many prefixes (at a million bans: 500,000)";
    [
        (
            "peers-cost.svg",
            Chart {
                title: "Processor time for a refused SYN, one core",
                x: size,
                y: "nanoseconds",
                lines: by_size("/one_core_ns", 1.0),
            },
        ),
        (
            "peers-load.svg",
            Chart {
                title: "From the lists in files to the filter in force",
                x: size,
                y: "milliseconds",
                lines: by_size("/load_ms", 1.0),
            },
        ),
        (
            "peers-memory.svg",
            Chart {
                title: "Kernel memory",
                x: size,
                y: "MiB",
                lines: by_size("/kernel_bytes", 1.0 / f64::from(1 << 20)),
            },
        ),
        (
            "peers-wait.svg",
            Chart {
                title: "A welcome client's wait for the greeting, 99th per cent",
                x: "SYNs a second in the flood",
                y: "milliseconds",
                lines: waits,
            },
        ),
    ]
    .into_iter()
    .map(|(name, chart)| Ok((name, draw(&chart)?)))
    .collect()
}

fn draw(chart: &Chart<'_>) -> Result<String> {
    let mut svg = String::new();
    paint(chart, &mut svg).map_err(|error| anyhow!("{}: {error}", chart.title))?;
    Ok(svg)
}

fn paint(chart: &Chart<'_>, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    };
    let (left, right) = ends(&mut points().map(|(x, _)| *x));
    let (low, high) = ends(&mut points().map(|(_, y)| *y).filter(|y| *y > 0.0));
    let root = SVGBackend::with_string(svg, (WIDTH, HEIGHT)).into_drawing_area();
    let words = |size: i32| TextStyle::from((FONT, size)).color(&GREY);
    // Room for the names at the ends of the lines.
    let mut plot = ChartBuilder::on(&root)
        .margin(12)
        .margin_right(96)
        .caption(chart.title, words(19))
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((left..right).log_scale(), (low / 1.5..high * 1.5).log_scale())?;
    plot.configure_mesh()
        .x_desc(chart.x)
        .y_desc(chart.y)
        .axis_desc_style(words(14))
        .label_style(words(13))
        .axis_style(GREY)
        .bold_line_style(GREY.mix(0.35))
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|x| number(*x).trim_end_matches(".00").to_owned())
        .y_label_formatter(&|y| number(*y).trim_end_matches(".00").trim_end_matches(".0").to_owned())
        .draw()?;
    let mut names = Vec::new();
    for line in &chart.lines {
        let color = color(line.filter);
        let width = if line.filter == "smtpgate" { 4 } else { 2 };
        plot.draw_series(LineSeries::new(line.points.clone(), color.stroke_width(width)))?;
        let dots = line
            .points
            .iter()
            .map(|at| Circle::new(*at, 3 + i32::from(width > 2), color.filled()));
        plot.draw_series(dots)?;
        if let Some(last) = line.points.last() {
            names.push((plot.backend_coord(last), line.filter, color));
        }
    }
    // Names that would lie on each other are moved apart.
    names.sort_by_key(|((_, y), _, _)| *y);
    let mut free: Vec<(i32, i32)> = Vec::new();
    for ((x, y), name, color) in names {
        let below = free
            .iter()
            .filter(|(other, _)| (other - x).abs() < 90)
            .map(|(_, y)| y + 16)
            .max();
        let y = below.map_or(y, |below| y.max(below));
        free.push((x, y));
        root.draw(&Text::new(
            name,
            (x + 9, y - 8),
            TextStyle::from((FONT, 15)).color(&color),
        ))?;
    }
    root.present()?;
    Ok(())
}

/// Of middle brightness, and apart also for who does not see red and green (Okabe and Ito, Color Universal Design, 2008).
fn color(filter: &str) -> RGBColor {
    match filter {
        "smtpgate" => RGBColor(0, 158, 115),
        "nftables" => RGBColor(0, 124, 200),
        "ipset" => RGBColor(213, 110, 0),
        "iptables" => RGBColor(204, 90, 150),
        "none" => RGBColor(150, 120, 60),
        _ => GREY,
    }
}

#[allow(clippy::cast_precision_loss, reason = "sizes of at most some millions")]
fn as_number(size: u64) -> f64 {
    size as f64
}
