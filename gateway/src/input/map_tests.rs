//! Tables over the mapping language.

use super::*;

fn header(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

/// One field of the first row of `cells` under `options`, as the line would get it.
fn field(options: &[&str], names: &str, cells: &str, field: Field) -> String {
    let mapping = Mapping::parse(options).expect("understood");
    let mut plan = mapping.plan(&header(names)).unwrap_or_else(|e| panic!("{e}"));
    let cells: Vec<&str> = cells.split(',').collect();
    let row = Row { cells: &cells, line: 7, file_number: 2 };
    let form = plan.forms.iter().find(|(known, _)| *known == field).expect("mapped");
    evaluate(field, &form.1, &row, &mut plan.scratch).into_owned()
}

#[test]
fn forms() {
    for (option, cells, want) in [
        ("account=a", "x,-3,2020-03-05 14:30:00Z", "x"),
        ("account=column:a", "x,-3,2020-03-05 14:30:00Z", "x"),
        ("account=column:#0", "x,-3,2020-03-05 14:30:00Z", "x"),
        ("account=const:FUND", "x,-3,", "FUND"),
        ("account=const:A:B", "x,-3,", "A:B"),
        ("account=line:L", "x,-3,", "L7"),
        ("account=template:{a}-{#line}.{#file}{#1}!", "x,-3,", "x-7.2-3!"),
        ("account=template:plain", "x,-3,", "plain"),
        ("account=sign:b", "x,-3,", "sell"),
        ("account=sign:b", "x,3,", "buy"),
        ("account=sign:b", "x,0,", "buy"),
        ("account=abs:b", "x,-3,", "3"),
        ("account=abs:b", "x,3,", "3"),
        ("account=date:t", "x,3,2020-03-05 14:30:00Z", "2020-03-05"),
        ("account=date:t", "x,3,2020-03-05", "2020-03-05"),
        ("account=date:t", "x,3,2020-03-05X", "2020-03-05X"),
        ("account=date:t", "x,3,nonsense", "nonsense"),
        ("account=time:t", "x,3,2020-03-05 14:30:00Z", "2020-03-05 14:30:00Z"),
        ("account=hash:A:1", "x,3,", "A0"),
    ] {
        assert_eq!(field(&[option], "a,b,t", cells, Field::Account), want, "{option} of {cells}");
    }
}

#[test]
fn hashes_spread_and_depend_on_the_named_cells_only() {
    let options = ["account=hash:A:20@a,b", "side=hash:buy|sell@a,b"];
    let mut accounts = std::collections::HashMap::new();
    let mut pairs = std::collections::HashSet::new();
    for n in 0..2000 {
        let account = field(&options, "a,b,t", &format!("x,{n},ignored"), Field::Account);
        assert_eq!(account, field(&options, "t,b,a", &format!("other,{n},x"), Field::Account));
        let side = field(&options, "a,b,t", &format!("x,{n},"), Field::Side);
        pairs.insert((account.clone(), side));
        *accounts.entry(account).or_insert(0u32) += 1;
    }
    assert_eq!(accounts.len(), 20);
    assert!(accounts.keys().all(|name| name.len() == 3), "one width, so that text sorts as numbers");
    assert!(accounts.values().all(|count| (50..200).contains(count)), "{accounts:?}");
    assert_eq!(pairs.len(), 40, "the side does not follow from the account");
}

#[test]
fn refusals() {
    for (options, want) in [
        (&["price"][..], "neither FIELD=FORM nor preset:NAME"),
        (&["prise=column:p"], "no field of a trade; those are trade_id"),
        (&["bid=column:p"], "no field of a trade"),
        (&["price=cell:p"], "\"cell\" is no form; there are column:NAME"),
        (&["price="], "name is missing"),
        (&["price=column:#x"], "no column number"),
        (&["price=column:a", "price=column:b"], "price is mapped twice"),
        (&["account=hash:A"], "neither hash:A|B nor hash:PREFIX:N"),
        (&["account=hash:A:0"], "neither hash:A|B nor hash:PREFIX:N"),
        (&["account=hash:A||B"], "is empty"),
        (&["account=hash:A|B@"], "name is missing"),
        (&["account=template:{a"], "not closed"),
        (&["preset:polygon"], "no preset \"polygon\"; there are pyfolio, taq"),
    ] {
        let message = Mapping::parse(options).expect_err("refused").to_string();
        assert!(message.contains(want), "{options:?} says {message}");
    }
    assert!("CORR".parse::<Filter>().is_err());
    assert!("=0".parse::<Filter>().is_err());
    assert!("CORR=".parse::<Filter>().is_ok());
}

#[test]
fn presets_lie_below_single_fields() {
    for options in [["preset:pyfolio", "account=const:X"], ["account=const:X", "preset:pyfolio"]] {
        let cells = "2004-01-09 00:00:00+00:00,448,15.54,0,AMD,-6961.92";
        assert_eq!(field(&options, ",amount,price,sid,symbol,txn_dollars", cells, Field::Account), "X");
        assert_eq!(field(&options, ",amount,price,sid,symbol,txn_dollars", cells, Field::EffectiveDate), "2004-01-09");
    }
    for (name, preset) in PRESETS {
        let fields: Vec<&str> = preset.iter().filter_map(|option| option.split_once('=')).map(|(f, _)| f).collect();
        for required in ["trade_id", "account", "instrument", "side", "quantity", "price", "effective_date"] {
            assert!(fields.contains(&required), "{name} lacks {required}");
        }
    }
}

#[test]
fn columns() {
    let plan = |options: &[&str], names: &str| {
        Mapping::parse(options).expect("understood").plan(&header(names)).map(|_| ()).map_err(|e| e.message)
    };
    assert_eq!(plan(&[], "trade_id,account,type"), Ok(()));
    assert_eq!(plan(&["account=a"], "a,whatever,"), Ok(()));
    for (options, names, want) in [
        (&[][..], "trade_id,acount", "column \"acount\" is no field of a trade"),
        (&[], "trade_id,bid", "column \"bid\" is no field"),
        (&[], "price,price", "column \"price\" stands twice"),
        (&["account=b"], "a", "there is no column \"b\"; there are \"a\""),
        (&["account=#1"], "a", "there is no column #1"),
        (&["account=hash:A:2@x"], "a", "there is no column \"x\""),
    ] {
        let message = plan(options, names).expect_err(names);
        assert!(message.contains(want), "{message}");
    }
}
