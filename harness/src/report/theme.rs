//! What output looks like: colours and width. Everything says the same without colour.

use std::os::fd::AsFd;

use anstream::AutoStream;
use anstream::stream::RawStream;
use anstyle::{AnsiColor, Style};

/// The narrowest output that is laid out for.
pub const WIDTH_MIN: usize = 80;
/// The widest output that is laid out for: longer lines are hard to follow.
pub const WIDTH_MAX: usize = 160;
/// The width where there is no terminal to ask.
pub const WIDTH_DEFAULT: usize = 100;

/// When to colour: `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// Always.
    Always,
    /// On terminals, unless `NO_COLOR` is set; `CLICOLOR_FORCE` colours files too.
    #[default]
    Auto,
    /// Never.
    Never,
}

impl Color {
    /// Whether to colour what is written to `stream`.
    pub fn applies_to(self, stream: &impl RawStream) -> bool {
        match self {
            Color::Always => true,
            Color::Auto => AutoStream::choice(stream) != anstream::ColorChoice::Never,
            Color::Never => false,
        }
    }
}

/// Colours by meaning. The plain theme is empty styles, which write nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Theme {
    /// What held, and what was expected.
    pub good: Style,
    /// What failed, and what was received instead.
    pub bad: Style,
    /// What did neither.
    pub note: Style,
    /// What frames the rest: gutters, offsets, times.
    pub dim: Style,
    /// What a line is about.
    pub strong: Style,
}

impl Theme {
    const COLORED: Theme = Theme {
        good: AnsiColor::Green.on_default().bold(),
        bad: AnsiColor::Red.on_default().bold(),
        note: AnsiColor::Yellow.on_default().bold(),
        dim: Style::new().dimmed(),
        strong: Style::new().bold(),
    };
}

/// Colours and width.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The colours.
    pub theme: Theme,
    /// Columns. Longer lines are cut where they are pictures (dumps, timelines, carets), not where they are sentences.
    pub width: usize,
}

impl Look {
    /// No colours.
    pub fn plain(width: usize) -> Look {
        Look { theme: Theme::default(), width }
    }

    /// Colours whatever it is written to.
    pub fn colored(width: usize) -> Look {
        Look { theme: Theme::COLORED, width }
    }

    /// As stderr takes it.
    pub fn of_stderr(color: Color) -> Look {
        Look::of(&std::io::stderr(), color)
    }

    /// As stderr or stdout takes it.
    pub fn of(stream: &(impl RawStream + AsFd), color: Color) -> Look {
        let width = terminal_size::terminal_size_of(stream).map_or(WIDTH_DEFAULT, |(width, _)| usize::from(width.0));
        let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
        if color.applies_to(stream) { Look::colored(width) } else { Look::plain(width) }
    }
}
