"""mneme generate: a trained model goes on from a prompt; what it remembers can be kept and given back."""
import unittest

from support import FAILED, SMOKE, USAGE, ProgramTest


class Generate(ProgramTest):
    def setUp(self):
        super().setUp()
        self.mneme("run", SMOKE / "mqar_mac.ini")
        self.run = self.run_folder()

    def generate(self, *arguments, **options):
        return self.mneme("generate", self.run, *arguments, **options)

    def test_tokens_by_seed(self):
        prompt = ["--prompt", "5 9, 2", "--tokens", 12]
        tokens = self.generate(*prompt, "--seed", 4).out.split()
        self.assertEqual(len(tokens), 12)
        self.assertTrue(all(0 <= int(token) < 64 for token in tokens))
        self.assertEqual(tokens, self.generate(*prompt, "--seed", 4).out.split())
        self.assertNotEqual(tokens, self.generate(*prompt, "--seed", 5).out.split())
        surest = self.generate(*prompt, "--temperature", 0, "--seed", 4).out
        self.assertEqual(surest, self.generate(*prompt, "--top-k", 1, "--seed", 5).out)

    def test_memories_are_kept_and_given_back(self):
        (self.folder / "text").write_text(" ".join(str(i % 60) for i in range(100)))
        self.generate("--prompt-file", "text", "--tokens", 0, "--save-memory", "m.safetensors")
        told = self.generate("--prompt", "3", "--temperature", 0.5, "--memory", "m.safetensors").out
        self.assertNotEqual(told, self.generate("--prompt", "3", "--temperature", 0.5).out)

    def test_what_cannot_be_read(self):
        for arguments, status, why in [(["--prompt", "3 x"], USAGE, "'x' in the prompt"), (["--prompt", ""], USAGE, "empty"),
                                       (["--prompt", "64"], FAILED, "0 to 63"), ([], USAGE, "--prompt-file"),
                                       (["--prompt", "1", "--temperature", "-1"], USAGE, "--temperature"),
                                       (["--prompt", "1", "--memory", "none"], FAILED, "none"),
                                       (["--prompt-file", "nowhere"], FAILED, "nowhere")]:
            with self.subTest(arguments):
                self.assertIn(why, self.generate(*arguments, expect=status).err)


if __name__ == "__main__":
    unittest.main()
