#include "textflag.h"

#define SI_USER		0
#define SIGSTKFLT	16

// The kernel calls it with the signal in DI, the siginfo_t in SI and the ucontext_t in DX, and
// si_code is at offset 8. All registers but AX stay as they are for the runtime's handler.
TEXT handleFault<>(SB), NOSPLIT|NOFRAME, $0
	CMPL	DI, $SIGSTKFLT
	JEQ	sent
	CMPL	8(SI), $0
	JGT	fault
sent:
	MOVL	$SI_USER, 8(SI)
fault:
	MOVQ	·runtimeHandler(SB), AX
	JMP	AX

DATA ·faultHandler(SB)/8, $handleFault<>(SB)
GLOBL ·faultHandler(SB), NOPTR|RODATA, $8
