package guest

import (
	"strings"

	"github.com/krunbox/krunbox/pkg/exec"
)

// Rule is a setting and its sources. The first source that has the setting takes precedence.
type Rule struct {
	Setting string
	Sources []string
}

// Rules returns the rules by which Resolve decides, for documents.
func Rules() []Rule {
	return []Rule{
		{"program and arguments", []string{"KRUN_INIT with init's arguments",
			"configuration: Entrypoint, then args or Cmd",
			"init's arguments, those of /bin/sh if the first begins with -",
			"/bin/sh, if there is no configuration"}},
		{"working directory", []string{"KRUN_WORKDIR", "configuration", "/"}},
		{"variable", []string{"environment that the host gives init", "configuration"}},
		{"PATH", []string{"environment that the host gives init", "configuration", exec.DefaultPath}},
		{"HOME", []string{"KRUN_HOME", "configuration", "HOME that the host gives init, unless it is /",
			"the image's /etc/passwd, by the user's number", "/"}},
		{"TERM", []string{"KRUN_TERM", "configuration", "TERM that the host gives init"}},
		{"user and groups", []string{"process.user",
			"User, looked up in the image's /etc/passwd and /etc/group", "root"}},
		{"resource limit, each", []string{"KRUN_RLIMITS", "configuration",
			"for open files 65536:1048576"}},
		{"host name", []string{"configuration", "HOSTNAME", "DHCP lease", "localhost"}},
		{"PID namespace of the workload", []string{"none, if KRUN_INIT_PID1 is 1", "KRUN_PID_NAMESPACE",
			"linux.namespaces", "none"}},
		{"stop signal", []string{"configuration", "the signal that came, TERM for PWR"}},
		{"size of a terminal without one", []string{"process.consoleSize",
			"LINES and COLUMNS of the workload's environment", "24 lines of 80 columns"}},
		{"root", []string{"/dev/vda in a TEE build", "KRUN_BLOCK_ROOT_DEVICE",
			"the root that the kernel mounted"}},
		{"configuration file", []string{"KRUN_CONFIG", "/.krun_config.json"}},
		{"root of the configuration file", []string{"the root that the kernel mounted",
			"the block root or the overlay"}},
		{"/run", []string{"what the configuration mounts there", "the image's, if KRUN_RUN_TMPFS is 0",
			"a tmpfs with the image's directories and links, if it is 1, or if the image's is not writable",
			"the image's", "a tmpfs, if the image has none or an empty one"}},
	}
}

// Markdown returns the rules as a table for README.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| setting | sources |\n|---|---|\n")
	for _, r := range Rules() {
		b.WriteString("| " + r.Setting + " | " + strings.Join(r.Sources, "; ") + " |\n")
	}
	return b.String()
}
