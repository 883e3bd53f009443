"""Kernels as a user meets them: `mneme list kernels`, `mneme show memory`, and options of a memory that nothing would read."""
import re
import unittest

from support import SMOKE, SOURCE, USAGE, ProgramTest

LMM, MAG, MLP = SMOKE / "mqar_lmm.ini", SMOKE / "mqar_mag.ini", SMOKE / "mqar_mag_mlp.ini"
PLAIN = "memory.gradient=auto"  # what mqar_lmm.ini sets for its own memory


class Kernels(ProgramTest):
    def kernel(self, out, call):
        """(the kernel, what was passed over) of a call, by how its line begins."""
        line = re.search(rf"(?m)^  {call}.*?  +(.*)$", out)
        self.assertIsNotNone(line, out)
        kernel, _, passed = line[1].partition("  ")
        return kernel, passed.strip()

    def test_list(self):
        out = self.mneme("list", "kernels").out
        lines = [re.split(r"  +", line.strip()) for line in out.splitlines()[1:5]]
        self.assertEqual([line[0] for line in lines], ["fused", "linear tiles", "chunked", "reference"])
        self.assertEqual(lines[0][3], "linear, neural_mlp")
        self.assertIn("gla", lines[2][3])
        self.assertNotIn("omega", lines[2][3])
        self.assertEqual(lines[3][3], "every memory")
        self.assertRegex(out, r"instruction set of the fused kernels: (avx512|avx2|generic) of .*generic")
        self.assertIn("kernels (memory.kernel", self.mneme("list").out)

    def test_show_memory_says_rule_state_gates_and_parameters(self):
        out = self.mneme("show", "memory", MLP).out
        self.assertRegex(out, r"(?m)^rule +S = η S − .*gradients of the last matrix at each token's own weights, lower weights refreshed every 16 tokens$")
        self.assertRegex(out, r"(?m)^  weights_0 +1 x 16 x 16 +1,024$")
        self.assertRegex(out, r"state of one sequence, of the memory alone \(([\d,]+) bytes")
        total = int(re.search(r"state of one sequence, of the memory alone \(([\d,]+) bytes", out)[1].replace(",", ""))
        self.assertEqual(total, 5 * 1024, "two matrices, their momenta, one refresh point")
        self.assertRegex(out, r"(?m)^  theta +head +2 +sigmoid +-2 +0.5 +x_t, x_t-1 ")
        self.assertRegex(out, r"(?m)^  memory\.lower_step +1 x 1 +1 +no$")
        self.assertRegex(out, r"(?m)^  qkv +48 x 16 +768 +yes$")

    def test_show_memory_says_which_kernel_runs_and_why_not_the_others(self):
        out = self.mneme("show", "memory", MLP).out
        self.assertEqual(self.kernel(out, "training, 32 tokens  "), ("fused", "-"))
        self.assertEqual(self.kernel(out, "decoding, 1 token"), ("fused", "-"))
        kernel, passed = self.kernel(out, r"training, tokens that are no steps \(padding, questions\)")
        self.assertEqual(kernel, "chunked")
        self.assertIn("fused: some tokens are no steps; linear tiles: it has one matrix alone", passed)
        self.assertIn("losses are asked for", self.kernel(out, "measured: surprise, validation's probe")[1])
        swept = self.mneme("show", "memory", MLP, "memory.gradient=sweeps", "memory.refresh=8").out
        self.assertEqual(self.kernel(swept, "training, 32 tokens  ")[0], "fused")
        self.assertEqual(self.kernel(swept, "decoding, 1 token")[0], "chunked")
        self.assertIn("1 token holds no whole refresh interval of 8", self.kernel(swept, "decoding, 1 token")[1])
        exact = self.mneme("show", "memory", LMM, "memory.group=4").out
        self.assertEqual(self.kernel(exact, "training, 32 tokens  "), ("linear tiles", "fused: a group of 4 tokens is one step"))
        wide = self.mneme("show", "memory", LMM, "runtime.dtype=float64").out
        self.assertIn("double precision", self.kernel(wide, "evaluation")[1])
        loop = self.mneme("show", "memory", LMM, PLAIN, "memory.kind=omega").out
        self.assertEqual(self.kernel(loop, "training, 32 tokens  "), ("reference", "-"))

    def test_every_memory_and_block_can_be_shown(self):
        memories = re.findall(r"(?m)^  (\w+) ", self.mneme("list", "memories").out)
        for memory in memories:
            with self.subTest(memory):
                out = self.mneme("show", "memory", LMM, PLAIN, f"memory.kind={memory}").out
                self.assertRegex(out, r"(?m)^rule +\S")
                self.assertNotIn("nobody chooses", out)
        for block in ("mag", "mac", "mal", "titans_pytorch"):
            with self.subTest(block):
                self.assertIn("training", self.mneme("show", "memory", LMM, PLAIN, "memory.kind=neural_mlp", f"model.kind={block}").out)

    def test_what_cannot_be_shown(self):
        self.assertIn("of which config", self.mneme("show", "memory", expect=USAGE).err)
        self.assertIn("has no memory", self.mneme("show", "memory", SMOKE / "mqar_transformer.ini", expect=USAGE).err)
        self.assertIn("rows of a task", self.mneme("show", "memory", LMM, "--rows", 2, expect=USAGE).err)

    def refused(self, *overrides, config=LMM):
        result = self.mneme("run", config, *overrides, expect=USAGE)
        self.assertEqual(list(self.folder.iterdir()), [], "nothing is written")
        return result.err

    def test_a_kernel_that_can_never_run_is_an_error(self):
        for overrides, why in [(["memory.group=4"], "a group of 4 tokens is one step"), (["runtime.dtype=float64"], "double precision"),
                               (["memory.read=before"], "reads before its own write"), (["memory.cache=4"], "losses are asked for")]:
            with self.subTest(why):
                err = self.refused("memory.kernel=fused", *overrides)
                self.assertIn("memory.kernel = fused: it never runs here: ", err)
                self.assertIn(why, err)
                self.assertIn("set memory.kernel = auto", err)
        self.assertIn("has no such kernel; allowed: auto | chunked | reference", self.refused(PLAIN, "memory.kind=gla", "memory.kernel=fused"))
        self.assertIn("has no such kernel; allowed: auto | reference", self.refused(PLAIN, "memory.kind=omega", "memory.kernel=chunked"))
        package = SOURCE / "configs/models/titans_pytorch.ini"
        err = self.mneme("config", package, "memory.kernel=fused", expect=USAGE).err
        self.assertIn("a group of 4 tokens is one step", err, "of the memory that the block makes of the options")

    def test_a_kernel_that_runs_for_some_calls_falls_back_for_the_others(self):
        out = self.mneme("show", "memory", MLP, "memory.kernel=fused").out
        self.assertEqual(self.kernel(out, "training, 32 tokens  ")[0], "fused")
        self.assertEqual(self.kernel(out, r"training, tokens that are no steps \(padding, questions\)")[0], "chunked")
        self.mneme("config", LMM, PLAIN, "memory.kind=gla", "memory.kernel=chunked")

    def test_options_that_nothing_reads(self):
        for kind, option in [("gla", "theta_max=0.1"), ("gla", "guard=false"), ("gated_deltanet", "momentum=false"), ("omega", "eta_bias=1"),
                             ("momentum_deltanet", "theta_max=1"), ("momentum_deltanet", "tile=8"), ("kda", "refresh=8"), ("yaad", "momentum_damping=false")]:
            with self.subTest(f"{kind} {option}"):
                err = self.refused(PLAIN, f"memory.kind={kind}", f"memory.{option}")
                name, value = option.split("=")
                self.assertIn(f"memory.{name} = {value}: memory.kind = {kind} does not read it; leave it out", err)
        err = self.refused(PLAIN, "memory.kind=omega", "memory.forgetting=false", "memory.alpha_bias=-2")
        self.assertIn("memory.alpha_bias = -2: memory.kind = omega does not read it here, but with memory.forgetting = true; set that, or leave it out", err)
        for kind, option in [("gla", "theta_bias=-1"), ("gla", "tile=8"), ("gla", "write_penalty=0"), ("omega", "theta_max=0.1"), ("momentum_deltanet", "eta_bias=1"),
                             ("elastic", "forgetting=false")]:
            with self.subTest(f"{kind} {option}"):
                self.mneme("config", LMM, PLAIN, f"memory.kind={kind}", f"memory.{option}")


if __name__ == "__main__":
    unittest.main()
