package vm

import (
	"slices"
	"strings"
	"testing"
)

func TestKernelCmdline(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"plain", Config{InitPath: "/init.krun"},
			"board reboot=t panic=-1 panic_print=0 nomodule console=hvc0 rootfstype=virtiofs root=/dev/root rw quiet no-kvmapf init=/init.krun"},
		{"all", Config{
			InitPath: "/x y", Env: []string{"A=1", "B=", "C=a b"}, Args: []string{"x", "", "a b", "=", "é", "à"},
			KernelArgs: "tsi_hijack ip=off", KernelMessages: true,
		},
			"board reboot=t panic=-1 panic_print=0 nomodule console=hvc0 rootfstype=virtiofs root=/dev/root rw no-kvmapf " +
				"tsi_hijack ip=off init=\"/x y\" A=1 B=\"\" C=\"a b\" -- x \"\" \"a b\" = é \"à\""},
	} {
		got, err := kernelCmdline(&tt.cfg, []string{"board"})
		if err != nil || got != tt.want {
			t.Errorf("%s: kernelCmdline() = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestKernelCmdlineErrors(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string // in the message
	}{
		{Config{Env: []string{"A"}}, "NAME=VALUE"},
		{Config{Env: []string{"=x"}}, "empty name"},
		{Config{Env: []string{"a.b=x"}}, "dot"},
		{Config{Env: []string{"a b=x"}}, "blank"},
		{Config{Env: []string{"A=x\"y"}}, "double quote"},
		{Config{Env: []string{"A\"=x"}}, "double quote"},
		{Config{Env: []string{"--=x"}}, "end of its options"},
		{Config{Env: []string{"A=x\x00y"}}, "NUL"},
		{Config{Env: slices.Repeat([]string{"A=x"}, maxEnv+1)}, "at most 31"},
		{Config{Args: []string{"\""}}, "double quote"},
		{Config{Args: []string{"a", "--"}}, "drops"},
		{Config{Args: slices.Repeat([]string{"a"}, maxArgs+1)}, "at most 32"},
		{Config{Args: []string{strings.Repeat("a", maxCmdline)}}, "at most 2047"},
	} {
		got, err := kernelCmdline(&tt.cfg, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("kernelCmdline(Env %q, Args %q) = %q, %v, want an error with %q", tt.cfg.Env, tt.cfg.Args, got, err, tt.want)
		}
	}
}
