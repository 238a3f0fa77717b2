//go:build software

package software

import (
	"fmt"
	"strings"
	"testing"
)

var pythonRoot = root{
	Name:     "python",
	Packages: []string{"python3"},
	Links:    map[string]string{"usr/local/bin/python3": "/usr/bin/python3"},
	Files: map[string]string{
		"app/pool.py": `
import hashlib, multiprocessing, sys
from multiprocessing import shared_memory

def square(n):
    return n * n

if __name__ == "__main__":
    with multiprocessing.Pool(4) as pool:
        print(sum(pool.map(square, range(1000))))
    memory = shared_memory.SharedMemory(create=True, size=1 << 20)
    p = multiprocessing.Process(target=memory.buf.__setitem__, args=(0, 42))
    p.start()
    p.join()
    print(memory.buf[0])
    memory.close()
    memory.unlink()
    print(sys.executable)
`,
		"app/asynchronous.py": `
import asyncio

async def main():
    p = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await p.communicate(b"z" * 1000000)
    print(len(out), p.returncode)
    await asyncio.sleep(0.1)
    p = await asyncio.create_subprocess_shell("kill -9 $$")
    print(await p.wait())

asyncio.run(main())
`,
		"app/copy.py": `
import os, sys
data = sys.stdin.buffer.read()
os.write(1, data) == len(data) or sys.exit("written in part")
print(len(data), file=sys.stderr)
`,
	},
}

// pythonImage has no PATH.
var pythonImage = image{Cmd: []string{"python3"}, WorkingDir: "/app"}

func TestPython(t *testing.T) {
	data := strings.Repeat("0123456789\n", 100000)
	for _, tt := range []struct{ program, stdin, stdout, stderr string }{
		{"pool.py", "", "332833500\n42\n/usr/local/bin/python3\n", ""},
		{"asynchronous.py", "", "1000000 0\n-9\n", ""},
		{"copy.py", data, data, fmt.Sprintln(len(data))},
	} {
		t.Run(tt.program, func(t *testing.T) {
			t.Parallel()
			i := pythonImage
			i.Cmd = []string{"python3", tt.program}
			g := start(t, pythonRoot.machine(t, i))
			if _, err := fmt.Fprint(g.stdin, tt.stdin); err != nil {
				t.Fatal(err)
			}
			g.stdin.Close()
			g.wantExit(0)
			if got := g.stdout.String(); got != tt.stdout {
				t.Errorf("standard output has %d bytes: %.60q, want %d: %.60q", len(got), got, len(tt.stdout), tt.stdout)
			}
			if got := g.stderr.String(); got != tt.stderr {
				t.Errorf("standard error = %q, want %q", got, tt.stderr)
			}
		})
	}
}

// TestPythonTerminal types at python's prompt.
func TestPythonTerminal(t *testing.T) {
	t.Parallel()
	g := startTerminal(t, pythonRoot.machine(t, pythonImage))
	g.console.wait(t, ">>> ")
	g.enter("6 * 7\r")
	g.console.wait(t, "42")
	g.console.wait(t, ">>> ")
	g.enter("import time; time.sleep(1000)\r")
	g.console.wait(t, "1000)\r\n")
	g.enter("\x03")
	g.console.wait(t, "KeyboardInterrupt")
	g.console.wait(t, ">>> ")
	g.enter("exit(4)\r")
	g.wantExit(4)
}
