package supervise

import "testing"

func TestParseKill(t *testing.T) {
	for _, c := range []struct {
		text string
		pid  int
		name string
		ok   bool
	}{
		{"Out of memory: Killed process 429 (tail) total-vm:65752kB, anon-rss:63616kB, UID:0", 429, "tail", true},
		{"Memory cgroup out of memory: Killed process 7 (a) (b) total-vm:1kB", 7, "a) (b", true},
		{"oom-kill:constraint=CONSTRAINT_NONE,task=tail,pid=429,uid=0", 0, "", false},
		{"Killed process 7", 0, "", false},
		{"Killed process seven (a)", 0, "", false},
		{"", 0, "", false},
	} {
		if pid, name, ok := parseKill(c.text); pid != c.pid || name != c.name || ok != c.ok {
			t.Errorf("parseKill(%q) = %d, %q, %v, want %d, %q, %v", c.text, pid, name, ok, c.pid, c.name, c.ok)
		}
	}
}

// The log of a machine that kills many processes has no longer what the kernel said of the first.
func TestKillFinder(t *testing.T) {
	const first, second = "Out of memory: Killed process 7 (a) x", "Out of memory: Killed process 8 (b) x"
	for _, c := range []struct {
		pid         int
		messages    []string
		overwritten bool
		want        Kill
	}{
		{7, []string{first, second}, true, Kill{Name: "a"}},
		{7, []string{"x", second}, true, Kill{"b", true}},
		{7, []string{"x", second}, false, Kill{}}, // somebody else has killed it
		{7, []string{"x"}, true, Kill{}},
		{0, []string{first, second, "x"}, true, Kill{Name: "b"}},
		{0, nil, true, Kill{}},
	} {
		var k killFinder
		for _, text := range c.messages {
			k.add(c.pid, text)
		}
		if got := k.result(c.overwritten); got != c.want {
			t.Errorf("process %d in %q, overwritten %v: %v, want %v", c.pid, c.messages, c.overwritten, got, c.want)
		}
	}
}
