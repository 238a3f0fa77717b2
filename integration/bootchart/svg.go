package bootchart

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"time"
)

// Measures of the picture in pixels.
const (
	width      = 960
	margin     = 16
	plotLeft   = 220 // where the time begins
	plotRight  = width - margin
	shortened  = 90 // width of the kernel's bar if its time would leave little room for the rest
	rowHeight  = 20
	barHeight  = 12
	charWidth  = 7   // of a character, roughly; the font may be any
	maxText    = 128 // characters of a line below the chart
	plotTop    = 116
	minimumBar = 2
)

// style has the colors for light and for dark backgrounds.
const style = `
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 } .heading { font-weight: 600 }
.end { text-anchor: end } .quiet { fill: #59636e } .page { fill: #ffffff }
.grid { stroke: #d8dee4 } .start { stroke: #1a7f37; stroke-width: 1.5 }
.kernel { fill: #8c959f } .work { fill: #3b82c4 } .wait { fill: #e3a008 } .process { fill: #2da44e }
.warn { fill: #b54708 } .fatal { fill: #cf222e } .inside { fill: #0d1117 }
.break { stroke: #ffffff; stroke-width: 2; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .quiet { fill: #9198a1 } .page { fill: #0d1117 }
.grid { stroke: #30363d } .start { stroke: #3fb950 }
.kernel { fill: #6e7681 } .work { fill: #58a6ff } .wait { fill: #d29922 } .process { fill: #3fb950 }
.warn { fill: #f0883e } .fatal { fill: #ff7b72 } .inside { fill: #0d1117 }
.break { stroke: #0d1117 }
}
`

// SVG returns the chart as a picture: a bar for each stage, with time from left to right. It has no
// scripts, and its colors follow the viewer's preference for light or dark.
func SVG(r Report) []byte {
	p := &picture{chart: newChart(r)}
	p.scale()
	title, details := p.headline()
	lines := 0
	for _, list := range p.lists() {
		lines += 2 + len(list)
	}
	height := plotTop + (len(p.bars)+2)*rowHeight + lines*rowHeight + margin
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`, width, height)
	p.printf("<title>%s</title>", escape(title+" ("+details+")"))
	p.printf("<style>%s</style>", style)
	p.printf(`<rect class="page" width="%d" height="%d"/>`, width, height)
	p.text("title", margin, 30, title)
	p.text("quiet", margin, 50, details)
	p.legend(70)
	p.grid()
	p.rows()
	y := plotTop + (len(p.bars)+2)*rowHeight
	for heading, list := range p.lists() {
		y += rowHeight
		p.text("heading", margin, y, heading)
		for _, line := range list {
			y += rowHeight
			p.text("", margin, y, short(line))
		}
		y += rowHeight
	}
	p.printf("</svg>")
	return p.Bytes()
}

// picture writes an SVG file.
type picture struct {
	bytes.Buffer
	chart
	stages     float64 // where the first stage begins
	isShort    bool    // the kernel's bar is shorter than its time
	pixelsPerS float64
}

func (p *picture) printf(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// text writes a line of text. The class may be empty.
func (p *picture) text(class string, x, y int, text string) {
	attribute := ""
	if class != "" {
		attribute = ` class="` + class + `"`
	}
	p.printf(`<text%s x="%d" y="%d">%s</text>`, attribute, x, y, escape(text))
}

// scale decides how long a second is, and whether the kernel's bar is shortened.
func (p *picture) scale() {
	const room = plotRight - plotLeft
	stages := (p.end - p.kernel).Seconds()
	p.pixelsPerS = room / max(p.end.Seconds(), 1e-6)
	p.stages = plotLeft + p.kernel.Seconds()*p.pixelsPerS
	if p.stages-plotLeft > shortened {
		p.isShort = true
		p.stages = plotLeft + shortened
		p.pixelsPerS = (room - shortened) / max(stages, 1e-6)
	}
}

// x returns the place of a point in time from the first stage on.
func (p *picture) x(at time.Duration) float64 {
	return p.stages + (at-p.kernel).Seconds()*p.pixelsPerS
}

// legend explains the colors.
func (p *picture) legend(y int) {
	x := margin
	for _, item := range []struct{ class, text string }{
		{"kernel", "kernel and start of init"}, {"work", "stage"}, {"wait", "waiting for a lease or a device"},
		{"process", "starts processes"},
	} {
		p.printf(`<rect class="%s" x="%d" y="%d" width="12" height="12" rx="2"/>`, item.class, x, y-1)
		p.text("quiet", x+18, y+10, item.text)
		x += 18 + len(item.text)*charWidth + 18
	}
}

// grid draws lines at round times.
func (p *picture) grid() {
	bottom := plotTop + (len(p.bars)+1)*rowHeight
	line := func(x float64, label string) {
		p.printf(`<line class="grid" x1="%.1f" y1="%d" x2="%.1[1]f" y2="%[3]d"/>`, x, plotTop-4, bottom)
		p.text("quiet", int(x)+3, plotTop-8, label)
	}
	line(plotLeft, "0 s")
	first := p.kernel.Seconds()
	if !p.isShort {
		first = 0
	}
	step := roundStep((p.end.Seconds() - first) / 8)
	decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	for n := math.Floor(first/step) + 1; n*step < p.end.Seconds(); n++ {
		at := time.Duration(n * step * 1e9)
		if x := p.x(at); x < plotRight-30 && x > p.stages+8 || !p.isShort {
			line(x, fmt.Sprintf("%.*f s", decimals, n*step))
		}
	}
}

// roundStep returns the smallest of 1, 2, 5, 10, 20 and so on, or their decimal fractions, that is
// at least step.
func roundStep(step float64) float64 {
	step = max(step, 1e-6)
	power := math.Pow(10, math.Floor(math.Log10(step)))
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= step*(1-1e-9) {
			return factor * power
		}
	}
	return 10 * power
}

// rows draws the bars.
func (p *picture) rows() {
	y := plotTop
	p.text("", margin, y+barHeight-1, "kernel and start of init")
	p.bar("kernel", plotLeft, p.stages-plotLeft, y, "kernel and start of init: "+clock(p.kernel))
	if p.isShort {
		middle := float64(plotLeft+shortened) - 24
		p.printf(`<path class="break" d="M%.1f %d l6 -%d m5 0 l-6 %[3]d"/>`, middle, y+barHeight+1, barHeight+2)
	}
	p.text("quiet", int(p.stages)+6, y+barHeight-1, took(p.kernel))
	for _, s := range p.bars {
		y += rowHeight
		p.text("", margin, y+barHeight-1, s.Name)
		class := "work"
		if starters[s.Name] {
			class = "process"
		}
		note := s.note()
		details := fmt.Sprintf("%s: at %s, %s", s.Name, clock(s.Start), note)
		x, waits := p.x(s.Start), s.Waited.Seconds()*p.pixelsPerS
		long := max(s.Duration.Seconds()*p.pixelsPerS, minimumBar)
		if s.Waited > 0 {
			waits = max(waits, minimumBar)
			p.bar("wait", x, waits, y, details)
		}
		if long-waits > 0.5 {
			p.bar(class, x+waits, long-waits, y, details)
		}
		noteClass := "quiet"
		if len(s.Errors) > 0 && s.OnError != "silent" {
			noteClass = s.OnError
		}
		at := int(x+long) + 6
		if at+len(note)*charWidth > plotRight {
			at, noteClass = int(x)-6, noteClass+" end"
		}
		if at-len(note)*charWidth < plotLeft && strings.HasSuffix(noteClass, " end") { // no room on either side
			at, noteClass = int(x+long)-6, "inside end"
		}
		p.text(noteClass, at, y+barHeight-1, note)
	}
	if p.started {
		x := p.x(p.end)
		p.printf(`<line class="start" x1="%.1f" y1="%d" x2="%.1[1]f" y2="%[3]d"/>`, x, plotTop, y+rowHeight+2)
		p.text("end", int(x)-6, y+rowHeight+barHeight-1, "workload started")
	}
}

func (p *picture) bar(class string, x, long float64, y int, details string) {
	p.printf(`<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"><title>%s</title></rect>`,
		class, x, y, long, barHeight, escape(details))
}

// short returns the beginning of a long text.
func short(text string) string {
	if runes := []rune(text); len(runes) > maxText {
		return string(runes[:maxText-1]) + "…"
	}
	return text
}

// escape returns text for XML. What XML cannot represent becomes U+FFFD.
func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(printable(text))) // a Builder does not fail
	return b.String()
}
