package software

import (
	"testing"
)

var s6Root = root{
	Name:     "s6",
	Packages: []string{"s6", "execline"},
	Files: map[string]string{
		// Like the init of s6-overlay, it insists on being process 1, and on /run.
		"init": `#!/bin/sh -e
if [ $$ -ne 1 ]; then
	echo "init: fatal: can only run as pid 1" >&2
	exit 100
fi
cp -R /etc/services.d /run/service
exec s6-svscan /run/service
`,
		"etc/services.d/web/run": `#!/usr/bin/execlineb -P
pipeline -w { s6-log 1 }
s6-setuidgid daemon
foreground { sh -c "echo web: running as $(id -un)" }
sleep 1000000
`,
		"etc/services.d/.s6-svscan/finish": `#!/bin/sh
exit "$(cat /run/exitcode)"
`,
		"etc/services.d/.s6-svscan/SIGTERM": `#!/bin/sh
echo stopping
echo 9 >/run/exitcode
exec s6-svscanctl -t /run/service
`,
		"etc/services.d/web/finish": `#!/bin/sh
echo "web: finished with $1"
`,
		"etc/services.d/flaky/run": `#!/bin/sh
[ -e /run/flaky ] && { echo flaky: running again; exec sleep 1000000; }
echo flaky: fails
touch /run/flaky
exit 1
`,
	},
}

// TestS6 runs a tree of supervised services.
func TestS6(t *testing.T) {
	t.Parallel()
	i := image{Entrypoint: []string{"/init"}, Linux: engine}
	g := start(t, s6Root.machine(t, i.withControl()))
	g.stdout.wait(t, "flaky: fails\n")
	g.stdout.wait(t, "flaky: running again\n")
	g.exec("kill -TERM 1")
	g.wantExit(9)
	wantLines(t, g.stdout.String(), "web: running as daemon", "stopping", "web: finished with 256")
	if got := g.stderr.String(); got != "" {
		t.Errorf("standard error = %q, want none", got)
	}
}
