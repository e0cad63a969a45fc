"""Glue: asks the host for what the rule needs, and puts the rule's decision into a verdict.

What the host offers is in wit/deps/forebay-policy; what this plugin uses of it, in wit/world.wit.
`componentize-py -d wit -w plugin bindings types` writes the modules imported here into types/, for an editor.
"""

import json

import wit_world
from componentize_py_types import Err
from wit_world.imports import identity
from wit_world.imports.types import Answer, Header, Verdict_Answer, Verdict_Continue

from rule import Config, Refusal, decide

config = None


class WitWorld(wit_world.WitWorld):
    def configure(self, text):
        """Runs once, when the gateway loads the plugin. Every call starts from the memory that it leaves."""
        global config
        try:
            config = Config.parse(text)
        except ValueError as error:
            raise Err(str(error))

    def on_request(self, request):
        """A fresh instance for every request: nothing that is assigned here is there at the next one."""
        refusal = decide(config, request.path(), scopes())
        if refusal is not None:
            return Verdict_Answer(answer(refusal))
        request.set_header("x-checked-by", b"{{name}}")
        return Verdict_Continue()


def scopes():
    try:
        identity.verify()
    except Err:
        return None
    scope = identity.claim("/scope")
    value = "" if scope is None else json.loads(scope)
    return value.split() if isinstance(value, str) else []


def answer(refusal: Refusal) -> Answer:
    # RFC 6750, section 3: a 401 says how to authenticate.
    challenge = [Header("www-authenticate", "Bearer")] if refusal.status == 401 else []
    return Answer(refusal.status, refusal.problem, refusal.detail, challenge)
