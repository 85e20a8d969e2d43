//! The page: one file without a reference to any other, for a phone, a screen by day and by night, and paper.

use super::{Part, Section, chart};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");

/// The page with all `parts`.
pub fn page(parts: &[Part]) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    let title = format!("Bespoke: {}", names.join(", "));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) (PreEscaped(chart::STYLE)) }
            }
            body {
                header {
                    h1 { "What the choice of the heap changes" }
                    nav { @for (index, part) in parts.iter().enumerate() { a href={ "#part" (index) } { (part.name) } } }
                }
                main { @for (index, part) in parts.iter().enumerate() { (section_of_part(index, part)) } }
                footer { "Made by bespoke report from the raw data; the page needs no network." }
            }
        }
    };
    page.into_string()
}

fn section_of_part(index: usize, part: &Part) -> Markup {
    html! {
        section id={ "part" (index) } {
            h2 { (part.name) }
            (part.introduction)
            @for section in &part.sections {
                @if section.is_detail {
                    details { summary { (section.heading) } (content(section)) }
                } @else {
                    h3 { (section.heading) }
                    (content(section))
                }
            }
        }
    }
}

fn content(section: &Section) -> Markup {
    html! {
        (section.text)
        @if !section.plots.is_empty() {
            div class="plots" { @for plot in &section.plots {
                figure {
                    figcaption { (plot.title.text) }
                    (plot.chart)
                    @if !plot.note.is_empty() { p class="note" { (plot.note) } }
                }
            } }
        }
    }
}
