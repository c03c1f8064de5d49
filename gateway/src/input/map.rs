//! The mapping language of `--map`: how the columns of a foreign CSV file become fields of a trade.
//!
//! `FIELD=FORM:ARGUMENT`, one field an option; without a form's name the argument is a column. A
//! mapping is a pure function of one row, its line and its file: nothing depends on the row before,
//! so that shuffled rows give the same trades.

use std::borrow::Cow;
use std::str::FromStr;

use lotbook_core::id::TradeHash;

use super::error::{Code, LineError, quoted};
use super::fields::{Field, Object, Raw, TRADE_FIELDS};

/// Most values that `hash:` chooses among.
const HASH_VALUES_MAX: u32 = 1_000_000;

/// Forms with their meaning; the documentation is tested against this list.
pub const FORMS: &[(&str, &str)] = &[
    ("column:NAME", "the cell of the column; `#0` is the first column, for one without a name"),
    ("const:VALUE", "the same value for every row"),
    ("line:PREFIX", "the prefix and the line number"),
    (
        "template:TEXT",
        "the text with `{NAME}` for cells, `{#line}` for the line number, `{#file}` for the file's number",
    ),
    ("sign:NAME", "`sell` where the cell starts with a minus, else `buy`"),
    ("abs:NAME", "the cell without a leading minus"),
    ("date:NAME", "the date of a time stamp, as written"),
    ("time:NAME", "the cell as a time stamp"),
    ("hash:A|B|C", "one of the values, by a hash of the row's cells"),
    ("hash:PREFIX:N", "one of N names from the prefix and a number, by a hash of the row's cells"),
    ("hash:...@NAME,NAME", "either of the two, by a hash of these cells only"),
];

/// Presets: real files that are fed by one option.
pub const PRESETS: &[(&str, &[&str])] = &[
    (
        "pyfolio",
        &[
            "trade_id=line:F",
            "account=const:FUND",
            "instrument=column:symbol",
            "side=sign:amount",
            "quantity=abs:amount",
            "price=column:price",
            "effective_date=date:#0",
            "executed_at=time:#0",
        ],
    ),
    (
        "taq",
        &[
            "trade_id=line:T",
            "account=hash:A:20@TIME_UTC,EX,SIZE,PRICE",
            "instrument=column:SYMBOL",
            "side=hash:buy|sell@TIME_UTC,EX,SIZE,PRICE",
            "quantity=column:SIZE",
            "price=column:PRICE",
            "effective_date=date:TIME_UTC",
            "executed_at=time:TIME_UTC",
        ],
    ),
];

/// A `--map` or `--where` option that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MapError(String);

/// A column by name or place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Name(String),
    Index(usize),
}

impl Column {
    fn parse(text: &str) -> Result<Self, MapError> {
        if text.is_empty() {
            return Err(MapError("a column's name is missing".to_owned()));
        }
        match text.strip_prefix('#') {
            Some(index) => index
                .parse()
                .map(Self::Index)
                .map_err(|_| MapError(format!("{} is no column number such as #0", quoted(text)))),
            None => Ok(Self::Name(text.to_owned())),
        }
    }

    fn find(&self, header: &[String]) -> Result<usize, LineError> {
        let found = match self {
            Self::Name(name) => header.iter().position(|column| column == name),
            Self::Index(index) => (*index < header.len()).then_some(*index),
        };
        found.ok_or_else(|| {
            let named = match self {
                Self::Name(name) => quoted(name),
                Self::Index(index) => format!("#{index}"),
            };
            let columns: Vec<String> = header.iter().map(|c| quoted(c)).collect();
            LineError::line(Code::BadColumn, format!("there is no column {named}; there are {}", columns.join(", ")))
        })
    }
}

/// How one field is made, with columns as `C`: as named, then as found in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form<C> {
    Column(C),
    Const(String),
    Template(Vec<Piece<C>>),
    Sign(C),
    Abs(C),
    Date(C),
    Hash(Values, Option<Vec<C>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<C> {
    Text(String),
    Cell(C),
    Line,
    File,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Values {
    List(Vec<String>),
    Numbered { prefix: String, count: u32 },
}

impl Values {
    fn parse(text: &str) -> Result<Self, MapError> {
        if text.contains('|') {
            let list: Vec<String> = text.split('|').map(str::to_owned).collect();
            if list.iter().any(String::is_empty) {
                return Err(MapError(format!("a value of hash:{text} is empty")));
            }
            return Ok(Self::List(list));
        }
        let wrong = || {
            MapError(format!("hash:{text} is neither hash:A|B nor hash:PREFIX:N with N from 1 to {HASH_VALUES_MAX}"))
        };
        let (prefix, count) = text.rsplit_once(':').ok_or_else(wrong)?;
        let count = count.parse().ok().filter(|n| (1..=HASH_VALUES_MAX).contains(n)).ok_or_else(wrong)?;
        Ok(Self::Numbered { prefix: prefix.to_owned(), count })
    }

    fn choose(&self, hash: u128) -> Cow<'_, str> {
        match self {
            Self::List(list) => Cow::Borrowed(&list[(hash % list.len() as u128) as usize]),
            // Numbers of one width sort as text as they do as numbers.
            Self::Numbered { prefix, count } => {
                let width = (count - 1).checked_ilog10().map_or(1, |log| log as usize + 1);
                Cow::Owned(format!("{prefix}{:0width$}", hash % u128::from(*count)))
            }
        }
    }
}

/// All `--map` options of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    forms: Vec<(Field, Form<Column>)>,
}

impl Mapping {
    /// Understands the options in the order given. Presets lie below single fields, wherever they stand.
    ///
    /// # Errors
    /// An option that is neither `preset:NAME` nor `FIELD=FORM`, or a field given twice.
    pub fn parse<S: AsRef<str>>(options: &[S]) -> Result<Self, MapError> {
        let mut forms: Vec<(Field, Form<Column>)> = Vec::new();
        for name in options.iter().filter_map(|option| option.as_ref().strip_prefix("preset:")) {
            let (_, preset) = PRESETS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
                let known: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
                MapError(format!("there is no preset {}; there are {}", quoted(name), known.join(", ")))
            })?;
            for option in *preset {
                set(&mut forms, parse_option(option)?);
            }
        }
        let mut given: Vec<Field> = Vec::new();
        for option in options.iter().map(AsRef::as_ref).filter(|option| !option.starts_with("preset:")) {
            let (field, form) = parse_option(option)?;
            if given.contains(&field) {
                return Err(MapError(format!("{} is mapped twice", field.name())));
            }
            given.push(field);
            set(&mut forms, (field, form));
        }
        Ok(Self { forms })
    }

    /// Whether no option was given: the file's columns are then the fields themselves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// Finds the columns in a header. Fields without an option come from the column of their name.
    pub(super) fn plan(&self, header: &[String]) -> Result<Plan, LineError> {
        for (index, name) in header.iter().enumerate() {
            if !name.is_empty() && header[..index].contains(name) {
                return Err(LineError::line(Code::BadColumn, format!("column {} stands twice", quoted(name))));
            }
        }
        let mut forms = Vec::new();
        for (field, form) in &self.forms {
            forms.push((*field, form.find(header)?));
        }
        for (index, name) in header.iter().enumerate() {
            match Field::parse(name).filter(|f| TRADE_FIELDS.contains(f)) {
                Some(field) if forms.iter().any(|(mapped, _)| *mapped == field) => {}
                Some(field) => forms.push((field, Form::Column(index))),
                // A type column may stay; whoever maps has chosen what he wants of the rest.
                None if name == Field::Type.name() => forms.push((Field::Type, Form::Column(index))),
                None if !self.is_empty() => {}
                None => {
                    let fields: Vec<&str> = TRADE_FIELDS.iter().map(|f| f.name()).collect();
                    let message = format!(
                        "column {} is no field of a trade ({}); use --map to say what the columns mean",
                        quoted(name),
                        fields.join(", ")
                    );
                    return Err(LineError::line(Code::BadColumn, message));
                }
            }
        }
        Ok(Plan { forms, scratch: Vec::new() })
    }
}

fn set(forms: &mut Vec<(Field, Form<Column>)>, (field, form): (Field, Form<Column>)) {
    forms.retain(|(known, _)| *known != field);
    forms.push((field, form));
}

fn parse_option(option: &str) -> Result<(Field, Form<Column>), MapError> {
    let (name, form) = option
        .split_once('=')
        .ok_or_else(|| MapError(format!("{} is neither FIELD=FORM nor preset:NAME", quoted(option))))?;
    let field = Field::parse(name).filter(|f| TRADE_FIELDS.contains(f)).ok_or_else(|| {
        let fields: Vec<&str> = TRADE_FIELDS.iter().map(|f| f.name()).collect();
        MapError(format!("{} is no field of a trade; those are {}", quoted(name), fields.join(", ")))
    })?;
    Ok((field, parse_form(form)?))
}

fn parse_form(text: &str) -> Result<Form<Column>, MapError> {
    let Some((form, argument)) = text.split_once(':') else {
        return Ok(Form::Column(Column::parse(text)?));
    };
    Ok(match form {
        "column" | "time" => Form::Column(Column::parse(argument)?),
        "const" => Form::Const(argument.to_owned()),
        "line" => Form::Template(vec![Piece::Text(argument.to_owned()), Piece::Line]),
        "template" => Form::Template(parse_template(argument)?),
        "sign" => Form::Sign(Column::parse(argument)?),
        "abs" => Form::Abs(Column::parse(argument)?),
        "date" => Form::Date(Column::parse(argument)?),
        "hash" => {
            let (values, columns) = match argument.split_once('@') {
                Some((values, columns)) => {
                    (values, Some(columns.split(',').map(Column::parse).collect::<Result<Vec<_>, _>>()?))
                }
                None => (argument, None),
            };
            Form::Hash(Values::parse(values)?, columns)
        }
        _ => {
            let forms: Vec<&str> = FORMS.iter().map(|(form, _)| *form).collect();
            let message = format!("{} is no form; there are {}", quoted(form), forms.join(", "));
            return Err(MapError(message));
        }
    })
}

fn parse_template(text: &str) -> Result<Vec<Piece<Column>>, MapError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| MapError(format!("a brace of {} is not closed", quoted(text))))?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(match name {
            "#line" => Piece::Line,
            "#file" => Piece::File,
            name => Piece::Cell(Column::parse(name)?),
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

impl Form<Column> {
    fn find(&self, header: &[String]) -> Result<Form<usize>, LineError> {
        Ok(match self {
            Self::Column(column) => Form::Column(column.find(header)?),
            Self::Const(value) => Form::Const(value.clone()),
            Self::Template(pieces) => Form::Template(
                pieces
                    .iter()
                    .map(|piece| {
                        Ok(match piece {
                            Piece::Text(text) => Piece::Text(text.clone()),
                            Piece::Cell(column) => Piece::Cell(column.find(header)?),
                            Piece::Line => Piece::Line,
                            Piece::File => Piece::File,
                        })
                    })
                    .collect::<Result<_, LineError>>()?,
            ),
            Self::Sign(column) => Form::Sign(column.find(header)?),
            Self::Abs(column) => Form::Abs(column.find(header)?),
            Self::Date(column) => Form::Date(column.find(header)?),
            Self::Hash(values, columns) => {
                let columns = columns.as_ref().map(|c| c.iter().map(|c| c.find(header)).collect::<Result<_, _>>());
                Form::Hash(values.clone(), columns.transpose()?)
            }
        })
    }
}

/// A mapping for one header.
pub(super) struct Plan {
    forms: Vec<(Field, Form<usize>)>,
    scratch: Vec<u8>,
}

/// A row and where it stands.
pub(super) struct Row<'a> {
    pub(super) cells: &'a [&'a str],
    pub(super) line: u64,
    /// From 1.
    pub(super) file_number: u32,
}

impl Plan {
    /// The row as an object of type trade.
    pub(super) fn object<'a>(&'a mut self, row: &Row<'a>) -> Result<Object<'a>, LineError> {
        let mut object = Object::default();
        let mut has_type = false;
        for (field, form) in &self.forms {
            let text = evaluate(*field, form, row, &mut self.scratch);
            has_type |= *field == Field::Type;
            let value = match text {
                // An empty cell says nothing.
                text if text.is_empty() => Raw::Absent,
                text if *field == Field::SourceOrder => Raw::Integer(text.parse().map_err(|_| {
                    let message = format!("{} is no integer from 0 to 18446744073709551615", quoted(&text));
                    LineError::of(field.name(), Code::BadInteger, message)
                })?),
                text if *field == Field::Type && text != "trade" => {
                    let message = format!("{} stands in a CSV file, which holds trades only", quoted(&text));
                    return Err(LineError::of(field.name(), Code::UnknownType, message));
                }
                text => Raw::Text(text),
            };
            object.set(*field, value);
        }
        if !has_type {
            object.set(Field::Type, Raw::Text(Cow::Borrowed("trade")));
        }
        Ok(object)
    }
}

fn evaluate<'a>(field: Field, form: &'a Form<usize>, row: &Row<'a>, scratch: &mut Vec<u8>) -> Cow<'a, str> {
    match form {
        Form::Column(column) => Cow::Borrowed(row.cells[*column]),
        Form::Const(value) => Cow::Borrowed(value),
        Form::Template(pieces) => {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(part) => text.push_str(part),
                    Piece::Cell(column) => text.push_str(row.cells[*column]),
                    Piece::Line => text.push_str(&row.line.to_string()),
                    Piece::File => text.push_str(&row.file_number.to_string()),
                }
            }
            Cow::Owned(text)
        }
        Form::Sign(column) => Cow::Borrowed(if row.cells[*column].starts_with('-') { "sell" } else { "buy" }),
        Form::Abs(column) => {
            let cell = row.cells[*column];
            Cow::Borrowed(cell.strip_prefix('-').unwrap_or(cell))
        }
        Form::Date(column) => {
            let cell = row.cells[*column];
            match cell.as_bytes().get(10) {
                // The cut is at a character's border: byte 10 is ASCII.
                Some(b'T' | b't' | b' ') => Cow::Borrowed(&cell[..10]),
                _ => Cow::Borrowed(cell),
            }
        }
        Form::Hash(values, columns) => {
            scratch.clear();
            let mut add = |cell: &str| {
                scratch.extend_from_slice(cell.as_bytes());
                scratch.push(0);
            };
            match columns {
                Some(columns) => columns.iter().for_each(|column| add(row.cells[*column])),
                None => row.cells.iter().for_each(|cell| add(cell)),
            }
            // Salted with the field: otherwise each account would have one side only.
            values.choose(TradeHash::new(field.name().as_bytes(), scratch).0)
        }
    }
}

/// A `--where COLUMN=VALUE` option: rows with another value are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    column: Column,
    value: String,
}

impl FromStr for Filter {
    type Err = MapError;

    fn from_str(option: &str) -> Result<Self, MapError> {
        let (column, value) =
            option.split_once('=').ok_or_else(|| MapError(format!("{} is not COLUMN=VALUE", quoted(option))))?;
        Ok(Self { column: Column::parse(column)?, value: value.to_owned() })
    }
}

impl Filter {
    pub(super) fn find<'a>(&'a self, header: &[String]) -> Result<(usize, &'a str), LineError> {
        Ok((self.column.find(header)?, &self.value))
    }
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
