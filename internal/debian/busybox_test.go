package debian

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestBusyboxApplets(t *testing.T) {
	for _, tt := range []struct {
		program string
		want    []string
		ok      bool
	}{
		{"code\x00[\x00[[\x00ash\x00cat\x00\x00data\x00", []string{"[", "[[", "ash", "cat"}, true},
		{"code\x00[\x00data\x00", nil, false},
		{"code\x00[\x00[[\x00ash", nil, false},
		{"code\x00[\x00[[\x00../x\x00\x00", nil, false},
		{"", nil, false},
	} {
		got, err := BusyboxApplets([]byte(tt.program))
		if !slices.Equal(got, tt.want) || (err == nil) != tt.ok {
			t.Errorf("BusyboxApplets(%q) = %q, %v, want %q", tt.program, got, err, tt.want)
		}
	}
}

func TestBusyboxAppletsOfInstalled(t *testing.T) {
	const installedBusybox = "/bin/busybox"
	program, err := os.ReadFile(installedBusybox)
	if err != nil {
		t.Skip(err)
	}
	list, err := exec.Command(installedBusybox, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(list))
	got, err := BusyboxApplets(program)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("BusyboxApplets(%s) = %q, %v, want %q", installedBusybox, got, err, want)
	}
}
