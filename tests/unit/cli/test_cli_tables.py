"""What tables look like, without a program around them."""

import json
import unicodedata

import pytest
import wcwidth
import yaml
from hypothesis import given
from hypothesis import strategies as st
from prettytable import PrettyTable

from nodepool_ng.listing.rows import BUILDS, IMAGES, NODE_DETAILS, NODES, REQUESTS, UPLOADS, BuildRow, NodeRow, port
from nodepool_ng.listing.table import Column, Format, Table, age, cell, printable, render
from nodepool_ng.model.ids import BuildId, ImageName, LabelName, NodeId, ProviderName
from nodepool_ng.model.image import Build
from nodepool_ng.model.lifecycle import ImageState, NodeState
from nodepool_ng.model.node import Node

NOW = 1_795_211_820.0

NODE = Node(
    id=NodeId("0000000001"),
    state=NodeState.READY,
    state_time=NOW - 59,
    provider=ProviderName("fake-provider"),
    labels=(LabelName("fake-label"),),
    external_id="1a3eeec3db8e4e23a0c62beee83917ad",
    public_ipv4="fake",
    public_ipv6="",
)

TITLES = {
    NODES: "ID, Provider, Label, Server ID, Public IPv4, IPv6, State, Age, Locked",
    NODE_DETAILS: "ID, Provider, Label, Server ID, Public IPv4, IPv6, State, Age, Locked, Pool, Hostname, "
    "Private IPv4, AZ, Username, Port, Launcher, Allocated To, Hold Job, Comment, User Data, Driver Data",
    REQUESTS: "Request ID, Priority, State, Requestor, Node Types, Nodes, Declined By, Event ID",
    UPLOADS: "Build ID, Upload ID, Provider, Image, Provider Image Name, Provider Image ID, State, Age",
    BUILDS: "ID, Image, Builder, Formats, State, Age",
    IMAGES: "Image, Paused, Build Request, Build Request Age",
}


@pytest.mark.parametrize("columns", TITLES)
def test_columns_have_the_titles_and_the_order_that_scripts_know(columns):
    assert ", ".join(column.title for column in columns) == TITLES[columns]


@pytest.mark.parametrize("columns", TITLES)
def test_an_empty_table_is_its_header_between_rules(columns):
    titles = [column.title for column in columns]
    rule = "+" + "+".join("-" * (len(title) + 2) for title in titles) + "+"
    header = "|" + "|".join(f" {title} " for title in titles) + "|"
    assert render(Table(columns, ())) == "\n".join([rule, header, rule, rule])


def test_a_table_of_nodes_is_the_recorded_one_byte_for_byte():
    other = Node(
        id=NodeId("0000000000"),
        state=NodeState.READY,
        state_time=NOW - 58,
        provider=ProviderName("fake-provider"),
        labels=(LabelName("fake-label"),),
        external_id="6a234ca316784939bd7c88d885651ec5",
        public_ipv4="fake",
    )
    rows = (NodeRow(NODE, False, NOW), NodeRow(other, True, NOW))
    assert render(Table(NODES, rows)) == "\n".join(
        [
            "+------------+---------------+------------+----------------------------------+-------------+------+-------+-------------+----------+",
            "| ID         | Provider      | Label      | Server ID                        | Public IPv4 | IPv6 | State | Age         | Locked   |",  # noqa: E501
            "+------------+---------------+------------+----------------------------------+-------------+------+-------+-------------+----------+",
            "| 0000000001 | fake-provider | fake-label | 1a3eeec3db8e4e23a0c62beee83917ad | fake        |      | ready | 00:00:00:59 | unlocked |",  # noqa: E501
            "| 0000000000 | fake-provider | fake-label | 6a234ca316784939bd7c88d885651ec5 | fake        |      | ready | 00:00:00:58 | locked   |",  # noqa: E501
            "+------------+---------------+------------+----------------------------------+-------------+------+-------+-------------+----------+",
        ]
    )


@given(
    titles=st.lists(
        st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1), min_size=1
    ),
    data=st.data(),
)
def test_tables_are_drawn_as_prettytable_draws_them(titles, data):
    titles = [f"{number} {title}" for number, title in enumerate(titles)]
    texts = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], max_codepoint=0x9FFF))
    rows = data.draw(st.lists(st.tuples(*(texts.filter(_same_width_for_both) for _ in titles)), max_size=4))
    columns = tuple(Column(title, title, lambda row, number=number: row[number]) for number, title in enumerate(titles))
    theirs = PrettyTable(titles)
    theirs.align = "l"
    theirs.add_rows([[printable(text) for text in row] for row in rows])
    assert render(Table(columns, tuple(rows))) == theirs.get_string()


def _same_width_for_both(text: str) -> bool:
    """PrettyTable asks another table of characters' widths, of another version of Unicode."""
    wide = sum(unicodedata.east_asian_width(c) in ("W", "F") for c in printable(text))
    return wcwidth.wcswidth(printable(text)) == len(printable(text)) + wide


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "00:00:00:00"),
        (59.9, "00:00:00:59"),
        (86399, "00:23:59:59"),
        (86400 * 123 + 3661, "123:01:01:01"),
        (-5, "00:00:00:00"),
    ],
)
def test_ages_are_days_hours_minutes_and_seconds(seconds, text):
    assert age(NOW - seconds, NOW) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        (True, "True"),
        (22, "22"),
        (("a", "b"), "a,b"),
        ([], ""),
        ({"zuul_system": "x", "n": None}, "{'zuul_system': 'x', 'n': None}"),
    ],
)
def test_cells_follow_their_rules(value, text):
    assert cell(value) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain | text", "plain | text"),
        ("Grüße", "Grüße"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\u202eright to left\u2028", "\\u202eright to left\\u2028"),
        ("\udc80", "\\udc80"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("format", Format)
def test_no_form_lets_a_control_character_through(format):
    hostile = "\x1b[2J\x9b\r\u202e"
    columns = (Column("A", "a", lambda row: row), Column("B", "b", lambda row: {row: [row]}))
    out = render(Table(columns, (hostile,)), format)
    assert not set(out) & set("\x1b\x9b\r\u202e")


def test_a_multi_line_comment_stays_on_its_line():
    columns = (Column("Comment", "comment", lambda row: row),)
    assert render(Table(columns, ("held\nby me",))).splitlines()[3] == "| held\\nby me |"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (22, 22),
        ("5986", 5986),
        (None, "redacted"),
        ({"token": "s3cret"}, "redacted"),
        ("s3cret", "redacted"),
        (True, "redacted"),
        (["22"], "redacted"),
    ],
)
def test_what_is_no_port_is_not_shown(value, shown):
    assert port(value) == shown


def test_programs_get_values_and_people_cells():
    build = Build(
        image=ImageName("img"),
        id=BuildId("ab"),
        state=ImageState.READY,
        state_time=NOW - 77.5,
        formats=("qcow2", "raw"),
    )
    table = Table(BUILDS, (BuildRow(build, False, NOW),))
    values = {
        "id": "img-ab",
        "image": "img",
        "builder": None,
        "formats": ["qcow2", "raw"],
        "state": "ready",
        "age": int(NOW - 77.5),
    }
    assert json.loads(render(table, Format.JSON)) == [values]
    assert yaml.safe_load(render(table, Format.YAML)) == [values]
    assert render(table, Format.CSV) == 'id,image,builder,formats,state,age\nimg-ab,img,,"qcow2,raw",ready,00:00:01:17'


def test_the_keys_of_a_node_are_those_of_the_web_application():
    keys = (
        "id, provider, label, server_id, public_ipv4, ipv6, state, age, locked, pool, hostname, private_ipv4, AZ, "
        "username, connection_port, launcher, allocated_to, hold_job, comment, user_data, driver_data"
    )
    [values] = json.loads(render(Table(NODE_DETAILS, (NodeRow(NODE, False, NOW),)), Format.JSON))
    assert ", ".join(values) == keys
    assert (values["label"], values["age"], values["locked"]) == (["fake-label"], "00:00:00:59", "unlocked")
