"""What a month of storage costs, and lifecycle rules that come and go without changing the others."""

import json
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT
from lifecycle_simulator import NAMESPACE, OURS, PREFIXES, changed, random_text
from ml_janitor.aws.calls import LIFECYCLE_TEXT
from ml_janitor.aws.prices import FROM_PRICE_LIST
from ml_janitor.aws.storage import (
    FROM_STORAGE_TABLE,
    MOST_RULES,
    LifecycleConfiguration,
    LifecycleElement,
    StoragePrices,
    UnchangeableError,
    class_prices,
    read_lifecycle,
    read_storage_prices,
    write_lifecycle,
)
from ml_janitor.core.model import Cost
from ml_janitor.core.text import format_size
from ml_janitor.core.tiering import GB, ClassRates, LifecycleRule
from ml_janitor.detectors.storage_tiering.act import find_rule_conflict
from scripted import DENIED, Refusal, Script, Torn
from tables import cases


def product(usage: str, *tiers: tuple[str, str], unit: str = "GB-Mo") -> dict[str, Any]:
    dimensions = {
        f"{n}": {"unit": unit, "beginRange": begin, "pricePerUnit": {"USD": usd}}
        for n, (begin, usd) in enumerate(tiers)
    }
    return {
        "product": {"attributes": {"usagetype": usage}},
        "terms": {"OnDemand": {"t": {"priceDimensions": dimensions}}},
    }


@cases(
    "products, expected",
    ([product("TimedStorage-ByteHrs", ("0", "0.023"), ("51200", "0.022"))], {"STANDARD": Decimal("0.023")}),
    ([product("EUC1-TimedStorage-SIA-ByteHrs", ("0", "0.0135"))], {"STANDARD_IA": Decimal("0.0135")}),
    ([product("Tables-TimedStorage-ByteHrs", ("0", "0.0265"))], {}),
    ([product("TimedStorage-ByteHrs", ("0", "1")), product("EU-TimedStorage-ByteHrs", ("0", "2"))], {}),
    ([product("TimedStorage-ByteHrs", ("0", "1"), unit="Objects")], {}),
    ([{"product": {"attributes": {}}}], {}),
    ([product("TimedStorage-ByteHrs", ("51200", "0.022"))], {}),
    ([product("EU-TimedStorage-GlacierByteHrs", ("0", "1"), ("0", "1.0"))], {"GLACIER": Decimal(1)}),
)
def test_the_price_list(products: list[dict[str, Any]], expected: dict[str, Decimal]) -> None:
    assert class_prices(products) == expected


@cases(
    "region, listed, storage_class, expected",
    ("us-east-1", {"STANDARD": Decimal(1)}, "STANDARD", Cost(monthly_usd=Decimal(2), source=FROM_PRICE_LIST)),
    ("us-east-1", {}, "STANDARD", Cost(monthly_usd=Decimal("0.046"), source=FROM_STORAGE_TABLE)),
    ("us-east-1", None, "STANDARD", Cost(monthly_usd=Decimal("0.046"), source=FROM_STORAGE_TABLE)),
    ("eu-west-1", None, "STANDARD", Cost(source="no price list")),
    ("eu-west-1", {}, "STANDARD", Cost(source=FROM_PRICE_LIST)),
    ("us-east-1", {}, "INTELLIGENT_TIERING", Cost(source=FROM_PRICE_LIST)),
)
def test_two_gigabytes(
    region: str, listed: dict[str, Decimal] | None, storage_class: str, expected: Cost
) -> None:
    assert StoragePrices(region, listed).cost(storage_class, 2 * GB) == expected


def test_small_objects_of_cheap_classes_are_billed_as_larger_ones() -> None:
    prices = StoragePrices("us-east-1", {"STANDARD_IA": Decimal(GB)})

    assert prices.cost("STANDARD_IA", 1).monthly_usd == 128 * 1024
    assert prices.cost("STANDARD_IA", 128 * 1024 + 1).monthly_usd == 128 * 1024 + 1
    assert StoragePrices("eu-west-1", {"OTHER": Decimal(GB)}).cost("OTHER", 0).monthly_usd == 0


@cases(
    "size, text",
    (0, "0 bytes"),
    (1023, "1,023 bytes"),
    (1024, "1 KB"),
    (1024**3 - 1, "1 GB"),
    (4 * GB + GB // 5, "4.2 GB"),
)
def test_sizes_for_a_reader(size: int, text: str) -> None:
    assert format_size(size) == text


def test_each_class_has_the_rates_of_the_table_and_an_archive_its_overhead() -> None:
    assert StoragePrices("eu-west-1", {name: Decimal(9) for name in ("STANDARD", "GLACIER")}).rates() == {
        "STANDARD": ClassRates(stages=((0, Decimal(9)),)),
        "GLACIER": ClassRates(
            stages=((0, Decimal(9)),),
            move=Decimal("0.03"),
            read=Decimal("0.01"),
            least_days=90,
            overhead=32 * 1024,
            index=8 * 1024,
        ),
    }


def test_the_tiers_of_intelligent_tiering_cost_what_the_classes_do_that_they_are_like() -> None:
    listed = {"STANDARD": Decimal(9), "STANDARD_IA": Decimal(5), "GLACIER_IR": Decimal(2)}

    assert StoragePrices("eu-west-1", listed).rates()["INTELLIGENT_TIERING"] == ClassRates(
        stages=((0, Decimal(9)), (30, Decimal(5)), (90, Decimal(2))),
        move=Decimal("0.01"),
        watch=Decimal("0.0025"),
    )
    for missing in listed:
        some = {name: usd for name, usd in listed.items() if name != missing}
        assert "INTELLIGENT_TIERING" not in StoragePrices("eu-west-1", some).rates()


PRODUCTS = "pricing:GetProducts"


@cases(
    "service, usage, name, family",
    ("AmazonS3", "EU-TimedStorage-GIR-ByteHrs", "GLACIER_IR", ["Storage"]),
    ("AmazonECR", "EU-TimedStorage-ByteHrs", "IMAGES", []),
    ("AmazonCloudWatch", "EU-TimedStorage-ByteHrs", "LOGS", []),
)
def test_a_service_is_asked_for_in_its_region(service: str, usage: str, name: str, family: list[str]) -> None:
    account = Script({PRODUCTS: {"PriceList": [json.dumps(product(usage, ("0", "0.1")))]}})

    assert read_storage_prices(account.aws("eu-west-1"), service) == StoragePrices(
        "eu-west-1", {name: Decimal("0.1")}
    )
    (asked,) = account.asked(PRODUCTS)
    wanted = {one["Field"]: one["Value"] for one in asked["Filters"]}
    assert (asked["ServiceCode"], wanted.pop("regionCode")) == (service, "eu-west-1")
    assert list(wanted.values()) == family


def test_what_could_not_be_asked_is_not_an_empty_list() -> None:
    listed = {"PriceList": [json.dumps(product("EU-TimedStorage-ByteHrs", ("0", "0.1")))]}
    aws = Script({PRODUCTS: [listed, DENIED]}).aws("eu-west-1")

    assert read_storage_prices(aws) == StoragePrices("eu-west-1", None)


VARIES = "varies_by_storage_class"


def whole(inner: str) -> bytes:
    return f'<LifecycleConfiguration xmlns="{NAMESPACE}">{inner}</LifecycleConfiguration>'.encode()


def rule(inner: str) -> str:
    return f"<Rule><ID>a</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status>{inner}</Rule>"


EXPIRES = rule("<Expiration><Days>400</Days></Expiration>")
ALL = LifecycleRule(
    id=f"{OURS}1",
    prefix="logs/<&>\n/",
    transitions=((30, "STANDARD_IA"), (90, "GLACIER_IR")),
    expire_after=365,
    noncurrent_expire_after=30,
    abort_uploads_after=7,
)


def test_a_rule_is_written_after_the_others() -> None:
    there = LifecycleConfiguration(whole(f"\n {EXPIRES}\n"), VARIES)
    merged = there.adding([ALL])
    assert merged.minimum == VARIES
    own = (
        "<Rule><ID>ml-janitor-1</ID><Filter><Prefix>logs/&lt;&amp;&gt;&#xA;/</Prefix></Filter>"
        "<Status>Enabled</Status>"
        "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"
        "<Transition><Days>90</Days><StorageClass>GLACIER_IR</StorageClass></Transition>"
        "<Expiration><Days>365</Days></Expiration>"
        "<NoncurrentVersionExpiration><NoncurrentDays>30</NoncurrentDays></NoncurrentVersionExpiration>"
        "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>"
        "</AbortIncompleteMultipartUpload></Rule>"
    )
    assert merged.text == whole(f"\n {EXPIRES}{own}\n")
    assert merged.without(merged.own([ALL])) == there
    assert LifecycleConfiguration().adding([ALL]) == LifecycleConfiguration(whole(own))
    assert LifecycleConfiguration(whole(own), VARIES).without(merged.own([ALL])[:0]).text == whole(own)


def test_of_a_configuration_that_is_ours_alone_nothing_is_left() -> None:
    merged = LifecycleConfiguration().adding([ALL])
    assert merged.without(merged.own([ALL])) == LifecycleConfiguration()


def test_a_rule_is_ours_in_whatever_order_s3_answers_it() -> None:
    text = LifecycleConfiguration().adding([ALL]).text.replace(b"<Status>Enabled</Status>", b"")
    reordered = text.replace(b"</Rule>", b" <Status>Enabled</Status></Rule>")
    assert len(LifecycleConfiguration(reordered).own([ALL])) == 1


@cases(
    "old, new",
    (b"<Days>90</Days>", b"<Days>91</Days>"),
    (b"Enabled", b"Disabled"),
    (b"ml-janitor-1", b"ml-janitor-2"),
    (b"logs/", b"log/"),
    (b"GLACIER_IR", b"GLACIER"),
)
def test_a_rule_that_somebody_changed_is_not_ours(old: bytes, new: bytes) -> None:
    text = LifecycleConfiguration().adding([ALL]).text
    assert old in text
    there = LifecycleConfiguration(text.replace(old, new))
    assert not there.own([ALL])
    assert len(there.named([ALL.id])) == (b"janitor" not in old)


def test_a_digest_tells_texts_apart_that_say_something_else() -> None:
    there = LifecycleConfiguration(whole(EXPIRES), VARIES)
    same = LifecycleConfiguration(
        whole(f"\n{EXPIRES}").replace(b"<ID>a</ID>", b"").replace(b"</Rule>", b"<ID>a</ID></Rule>"), VARIES
    )
    assert there.digest() == same.digest()
    merged = there.adding([ALL])
    assert merged.digest(besides=merged.own([ALL])) == there.digest()
    others = [
        merged,
        LifecycleConfiguration(),
        LifecycleConfiguration(there.text, "all_storage_classes_128K"),
        LifecycleConfiguration(whole(EXPIRES.replace("400", "401")), VARIES),
        LifecycleConfiguration(whole(EXPIRES + EXPIRES.replace("<ID>a", "<ID>b")), VARIES),
    ]
    assert there.digest() not in [one.digest() for one in others]


def test_a_thousand_rules_are_the_most() -> None:
    rules = [EXPIRES.replace("<ID>a", f"<ID>a{number}") for number in range(MOST_RULES)]
    with pytest.raises(UnchangeableError, match="has 1000 of 1000 rules"):
        LifecycleConfiguration(whole("".join(rules))).adding([ALL])
    assert len(LifecycleConfiguration(whole("".join(rules[1:]))).adding([ALL]).rules) == MOST_RULES


@cases(
    "text, why",
    (whole(rule("<Freeze><Days>1</Days></Freeze>")), "unknown element Freeze"),
    (whole(rule("<Expiration><Hours>1</Hours></Expiration>")), "unknown element Hours"),
    (whole(rule("<Days>1</Days>")), "unknown element Days"),
    (whole(EXPIRES + "<Defaults/>"), "unknown element Defaults"),
    (b"<Lifecycle/>", "unknown element Lifecycle"),
    (whole(EXPIRES).replace(b"<Days>", b'<Days unit="h">'), "unknown attributes at Days"),
    (whole(EXPIRES).replace(b" xmlns=", b" Version='2' xmlns="), "unknown attributes at Life"),
    (whole(EXPIRES).replace(b"2006-03-01", b"2030-01-01"), "unknown attributes at Life"),
    (whole(EXPIRES).replace(b"400", b"4e2"), "Days that is not a number"),
    (whole(rule("<Expiration>400</Expiration>")), "text in Expiration"),
    (whole(f"<!-- note -->{EXPIRES}"), "comment"),
    (whole(f"<?note?>{EXPIRES}"), "instruction"),
    (b"<!DOCTYPE x>" + whole(EXPIRES), "instruction"),
    (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + whole(EXPIRES), "in ISO-8859-1"),
    (whole(EXPIRES)[:-9], "not XML"),
)
def test_what_is_not_known_in_whole_stays_as_it_is(text: bytes, why: str) -> None:
    with pytest.raises(UnchangeableError, match=why):
        LifecycleConfiguration(text).adding([ALL])


# --- beside the rules of others ------------------------------------------------------------------


WAYS: tuple[tuple[tuple[int, str], ...], ...] = (
    (),
    ((0, "INTELLIGENT_TIERING"),),
    ((30, "STANDARD_IA"), (90, "GLACIER_IR"), (365, "DEEP_ARCHIVE")),
    ((60, "STANDARD_IA"),),
    ((1, "GLACIER_IR"),),
    ((30, "ONEZONE_IA"),),
)


def random_rules(chance: random.Random) -> list[LifecycleRule]:
    """One or two rules as the janitor may want to add them."""
    rules = []
    for number in range(chance.randint(1, 2)):
        transitions = chance.choice(WAYS)
        rules.append(
            LifecycleRule(
                id=f"{OURS}{number}",
                prefix=chance.choice(PREFIXES[1:]),
                transitions=transitions,
                expire_after=chance.choice((None, None, 401)) if transitions else chance.choice((7, 90)),
                noncurrent_expire_after=chance.choice((None, None, 15, 91)),
                abort_uploads_after=chance.choice((None, 7)),
            )
        )
    return rules


MOVES = LifecycleRule(id=f"{OURS}1", prefix="logs/", transitions=((30, "STANDARD_IA"), (90, "GLACIER_IR")))
TIERS = LifecycleRule(id=f"{OURS}1", prefix="logs/", transitions=((0, "INTELLIGENT_TIERING"),))
ONE_ZONE = LifecycleRule(id=f"{OURS}1", prefix="logs/", transitions=((30, "ONEZONE_IA"),))
DELETES = LifecycleRule(id=f"{OURS}1", prefix="logs/", expire_after=90)
OLD = LifecycleRule(id=f"{OURS}1", prefix="logs/", noncurrent_expire_after=30)
ABORTS = LifecycleRule(id=f"{OURS}1", prefix="logs/", abort_uploads_after=7)


def moves(*ways: tuple[int, str]) -> str:
    inner = (f"<Days>{days}</Days><StorageClass>{name}</StorageClass>" for days, name in ways)
    return "".join(f"<Transition>{one}</Transition>" for one in inner)


def deletes(days: int) -> str:
    return f"<Expiration><Days>{days}</Days></Expiration>"


def old(days: int, more: str = "") -> str:
    inner = f"<NoncurrentDays>{days}</NoncurrentDays>{more}"
    return f"<NoncurrentVersionExpiration>{inner}</NoncurrentVersionExpiration>"


OLD_MOVES = (
    "<NoncurrentVersionTransition><NoncurrentDays>30</NoncurrentDays><StorageClass>GLACIER</StorageClass>"
    "</NoncurrentVersionTransition>"
)
MARKERS = "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
ABORT = (
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>{}</DaysAfterInitiation>"
    "</AbortIncompleteMultipartUpload>"
)
DATED = "<Expiration><Date>2027-01-01T00:00:00.000Z</Date></Expiration>"
KEEPS = "<NewerNoncurrentVersions>2</NewerNoncurrentVersions>"


def test_a_policys_moves_and_deletions_stand_beside_each_other() -> None:
    """They are two rules of one folder; a move by anybody else's rule is somebody else's wish."""
    beside = LifecycleConfiguration(whole(rule(moves((30, "STANDARD_IA")))))
    ours = LifecycleRule(id="a-deletes", prefix="logs/", expire_after=90)
    assert find_rule_conflict(beside, [ours]) is None
    assert find_rule_conflict(beside, [replace(ours, id="b-deletes")]) is not None


@cases(
    "theirs, ours, stands",
    (moves((120, "GLACIER")), MOVES, True),  # it goes on from where ours leaves it
    (moves((91, "GLACIER")), MOVES, True),
    (moves((90, "GLACIER")), MOVES, False),
    (moves((60, "GLACIER")), MOVES, False),
    (moves((120, "GLACIER_IR")), MOVES, False),
    (moves((120, "STANDARD_IA")), MOVES, False),
    (moves((120, "EXPRESS_ONEZONE")), MOVES, False),
    (moves((91, "GLACIER")), TIERS, True),  # which is preferred to Intelligent-Tiering
    (moves((91, "DEEP_ARCHIVE")), TIERS, True),
    (moves((91, "GLACIER_IR")), TIERS, False),
    (moves((91, "INTELLIGENT_TIERING")), MOVES, False),
    (moves((60, "GLACIER")), ONE_ZONE, True),
    (moves((59, "GLACIER")), ONE_ZONE, False),
    (moves((60, "GLACIER_IR")), ONE_ZONE, False),
    (moves((30, "GLACIER")), DELETES, False),
    (deletes(91), DELETES, False),
    (deletes(90), DELETES, False),
    (deletes(89), DELETES, True),
    (deletes(91), MOVES, True),
    (deletes(90), MOVES, False),
    (deletes(60), ONE_ZONE, True),
    (deletes(59), ONE_ZONE, False),
    (DATED, ABORTS, False),
    (MARKERS, DELETES, True),
    (MARKERS, OLD, True),
    (old(30), DELETES, False),
    (old(29), OLD, True),
    (old(30), OLD, False),
    (old(29, KEEPS), OLD, False),
    (OLD_MOVES, OLD, False),
    (OLD_MOVES + old(29), OLD, True),
    (OLD_MOVES, MOVES, False),
    (old(1), MOVES, True),
    (ABORT.format(7), ABORTS, True),
    (ABORT.format(8), ABORTS, False),
    (ABORT.format(8), MOVES, True),
)
def test_what_may_stand_beside_a_rule(theirs: str, ours: LifecycleRule, *, stands: bool) -> None:
    beside = rule(theirs)
    why = find_rule_conflict(LifecycleConfiguration(whole(beside)), [ours])
    assert (why is None) is stands
    assert why is None or why.startswith("its lifecycle rule a ")
    tag = "<Tag><Key>a</Key><Value>b</Value></Tag>"
    tagged = rule(theirs).replace("<Prefix>logs/</Prefix>", f"<And><Prefix>tmp/</Prefix>{tag}</And>")
    for elsewhere in (beside.replace("logs/", "tmp/"), beside.replace("Enabled", "Disabled"), tagged):
        assert find_rule_conflict(LifecycleConfiguration(whole(elsewhere)), [ours]) is None
    if not stands:  # it may be about the same objects, whatever else its filter says
        both = "<Filter><And><Prefix>logs/app/</Prefix>" + tag + "</And></Filter>"
        for filtered in (
            "<Filter/>",
            f"<Filter>{tag}</Filter>",
            both,
            "<Filter><Prefix>lo</Prefix></Filter>",
        ):
            other = beside.replace("<Filter><Prefix>logs/</Prefix></Filter>", filtered)
            assert other != beside
            assert find_rule_conflict(LifecycleConfiguration(whole(other)), [ours]) is not None


def test_a_name_that_is_taken_and_the_old_form_refuse() -> None:
    taken = rule(deletes(1)).replace("<ID>a", f"<ID>{ABORTS.id}")
    assert (
        find_rule_conflict(LifecycleConfiguration(whole(taken)), [ABORTS])
        == "its lifecycle rule ml-janitor-1 has the name of the new one"
    )
    plain = rule(deletes(1)).replace("<Filter><Prefix>logs/</Prefix></Filter>", "<Prefix>tmp/</Prefix>")
    assert "of the old form" in str(find_rule_conflict(LifecycleConfiguration(whole(plain)), [ABORTS]))
    assert find_rule_conflict(LifecycleConfiguration(), [ABORTS]) is None


def test_a_thousand_configurations_of_others_stay_as_they_are_in_text_and_effect() -> None:
    chance, verdicts = random.Random(16), Counter[bool]()  # noqa: S311 - no secret
    for _ in range(1000):
        text, minimum = random_text(chance), chance.choice((VARIES, "all_storage_classes_128K"))
        rules = random_rules(chance)
        there = LifecycleConfiguration(text.encode(), minimum)
        merged = there.adding(rules)
        added = merged.own(rules)
        assert [one.first("ID") for one in added] == [one.id for one in rules]
        assert merged.text[: added[0].start] + merged.text[added[-1].end :] == there.text
        assert merged.without(added) == there
        stands = find_rule_conflict(there, rules) is None
        verdicts[stands] += 1
        prefixes = {*PREFIXES, *(one.prefix for one in rules)}
        if stands:
            ours, theirs = chance.choice(((0, 0), (50, 0), (200, 0), (500, 500)))
            new = merged.text.decode()
            assert changed(text, new, minimum, prefixes, ours=ours, theirs=theirs) is None, (text, rules)
    assert min(verdicts.values()) > 200


# --- of a bucket ------------------------------------------------------------------------------------

GET, PUT = "s3:GetBucketLifecycleConfiguration", "s3:PutBucketLifecycleConfiguration"
DELETE = "s3:DeleteBucketLifecycle"


def test_a_buckets_own_text_is_read_with_its_minimum_and_none_is_empty() -> None:
    answer = Torn({LIFECYCLE_TEXT: whole(EXPIRES), "TransitionDefaultMinimumObjectSize": VARIES})
    account = Script({GET: answer})

    assert read_lifecycle(account.aws(), "bucket") == LifecycleConfiguration(whole(EXPIRES), VARIES)
    assert account.asked(GET) == [{"Bucket": "bucket", "ExpectedBucketOwner": ACCOUNT}]
    assert read_lifecycle(
        Script({GET: Torn({LIFECYCLE_TEXT: whole(EXPIRES)})}).aws(), "b"
    ) == LifecycleConfiguration(whole(EXPIRES))
    assert (
        read_lifecycle(Script({GET: Refusal("NoSuchLifecycleConfiguration")}).aws(), "b")
        == LifecycleConfiguration()
    )
    with pytest.raises(ClientError):
        read_lifecycle(Script({GET: DENIED}).aws(), "b")
    with pytest.raises(UnchangeableError, match="holds no rules"):
        read_lifecycle(Script({GET: Torn({LIFECYCLE_TEXT: whole("")})}).aws(), "b")


@pytest.mark.parametrize(
    ("minimum", "members"), [(VARIES, {"TransitionDefaultMinimumObjectSize": VARIES}), (None, {})]
)
def test_a_text_has_its_minimum_and_none_deletes(minimum: str | None, members: dict[str, str]) -> None:
    account = Script({PUT: {}, DELETE: {}})
    aws = account.aws().armed()
    owned = {"Bucket": "bucket", "ExpectedBucketOwner": ACCOUNT}

    write_lifecycle(aws, "bucket", LifecycleConfiguration(whole(EXPIRES), minimum))
    assert (account.asked(PUT), account.asked(DELETE)) == ([owned | members], [])
    write_lifecycle(aws, "bucket", LifecycleConfiguration())
    assert (len(account.asked(PUT)), account.asked(DELETE)) == (1, [owned])


def test_elements_are_found_by_their_path() -> None:
    (found,) = LifecycleConfiguration(whole(EXPIRES)).rules

    texts = {"ID": "a", "Filter/Prefix": "logs/", "Expiration/Days": "400", "Filter/Tag": None, "Days": None}
    assert {path: found.first(path) for path in texts} == texts
    assert isinstance(found, LifecycleElement)
    assert [one.text for one in LifecycleConfiguration(whole(EXPIRES * 2)).named(["a"])] == ["", ""]
    assert LifecycleConfiguration(whole(EXPIRES)).named(["b"]) == ()
