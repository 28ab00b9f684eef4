"""Reading the flags of a control plane's programs in Go."""

from __future__ import annotations

from tests.make_control_plane import registered

SOURCE = """
func (s *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&s.File, "cert-file", s.File, ""+
		"A file (with, commas).")
	fs.IPNetVar(&s.Range, rangeFlag, s.Range, `a range`)
	fs.Var(cliflag.NewMap(&s.Map), "pairs_of_words", "pairs")
	fs.IntVar(&s.Size, fmt.Sprintf("audit-%s-batch-max-size", name), 1, "size")
	for _, name := range []string{"port", "address"} {
		fs.IntVar(&s.Port, name, 0, "port")
		fs.MarkDeprecated(name, "This flag has no "+
			"effect.")
	}
	globalflag.Register(fs, "linked")
	strings.Join(s.Names, "not-a-flag")
}
"""


def test_flags_that_a_function_registers() -> None:
    types, warnings = registered(SOURCE, {"rangeFlag": ["service-range"]})
    assert types == {
        "cert-file": "string",
        "service-range": "ipNet",
        "pairs-of-words": "string",
        "audit-log-batch-max-size": "int",
        "audit-webhook-batch-max-size": "int",
        "port": "int",
        "address": "int",
        "linked": "string",
    }
    assert warnings == dict.fromkeys(("port", "address"), "This flag has no effect.")
