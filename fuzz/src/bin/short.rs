//! Runs the fuzz targets briefly on stable Rust.
//!
//! `short [--seconds N | --iterations N] [--seed N] [--target NAME]` gives each target N seconds
//! (2 unless told, at most an hour) or exactly N inputs. It prints its seed first; with that seed
//! and a number of inputs, a run repeats exactly. When a target panics it prints the input and
//! exits with 101.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lockgate_fuzz::mutate::{Random, mutated};
use lockgate_fuzz::{TARGETS, Target};

/// Upper bound of one target's run, so that a mistyped number cannot hang a pipeline.
const SECONDS_MAX: u64 = 3600;

struct Options {
    seconds: u64,
    iterations: u64,
    seed: u64,
    target: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 2, iterations: u64::MAX, seed: Random::fresh_seed(), target: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number =
            || value.parse::<u64>().map_err(|_| format!("{flag} needs a whole number, not {value:?}"));
        match flag.as_str() {
            "--seconds" => options.seconds = number()?.min(SECONDS_MAX),
            "--iterations" => (options.iterations, options.seconds) = (number()?, SECONDS_MAX),
            "--seed" => options.seed = number()?,
            "--target" => options.target = Some(value),
            _ => {
                return Err(format!(
                    "unknown option {flag}: use --seconds, --iterations, --seed or --target"
                ));
            }
        }
    }
    Ok(options)
}

fn run(target: &Target, options: &Options) {
    let mut random = Random::new(options.seed);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut count = 0;
    target.seeds.iter().for_each(|seed| (target.run)(seed));
    while count < options.iterations && (count % 256 != 0 || Instant::now() < end) {
        let input = mutated(target.seeds, &mut random);
        if std::panic::catch_unwind(|| (target.run)(&input)).is_err() {
            eprintln!(
                "target {} seed {} input {count}:\n{}",
                target.name,
                options.seed,
                input.escape_ascii()
            );
            std::process::exit(101);
        }
        count += 1;
    }
    println!("{}: {count} inputs", target.name);
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let chosen = |target: &&Target| options.target.as_deref().is_none_or(|name| name == target.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(chosen).collect();
    if targets.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("no such target: use one of {}", names.join(", "));
        return ExitCode::from(2);
    }
    println!("seed {}", options.seed);
    targets.into_iter().for_each(|target| run(target, &options));
    ExitCode::SUCCESS
}
