/** Names that break careless pages. */
export const hostileNames = () => [
  '<img src=x onerror=alert(1)>',
  '</script><script>alert(2)</script>',
  '"><svg/onload=alert(3)>',
  '\u202Eright-to-left override',
  'حساب الشركة رقم ٧',
  'חשבון 12',
  '👩‍👩‍👧‍👦🏳️‍🌈 family account',
  'zalgo t̸̨̢̛̫̘͖̗͇̂̌e̸͙̓x̵̰̊t̶̨̛',
  '__proto__',
  'constructor',
  'a name\nwith a\ttab and a line break',
  '   ',
  'long-'.repeat(820),
  '{{7*7}}${7*7}#{7*7}',
];
