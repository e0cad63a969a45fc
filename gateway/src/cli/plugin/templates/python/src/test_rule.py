import unittest

from rule import Config, decide

CONFIG = Config.parse('{"prefix": "/v2/", "scope": "infer"}')


class Rule(unittest.TestCase):
    def test_the_scope_opens_the_path(self):
        self.assertIsNone(decide(CONFIG, "/v2/models", ["read", "infer"]))

    def test_without_the_scope_the_path_stays_closed(self):
        self.assertEqual(decide(CONFIG, "/v2/models", ["inference"]).status, 403)
        self.assertEqual(decide(CONFIG, "/v2/models", None).status, 401)

    def test_other_paths_are_none_of_our_business(self):
        self.assertIsNone(decide(CONFIG, "/healthz", None))

    def test_a_configuration_with_a_mistake_is_refused(self):
        for text in ["", "{}", '{"scope": ""}', '{"scope": "a b"}', '{"scope": "a", "prefx": "/"}', "scope"]:
            with self.subTest(text), self.assertRaises(ValueError):
                Config.parse(text)


if __name__ == "__main__":
    unittest.main()
