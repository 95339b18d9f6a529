<?xml version="1.0"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <!-- Texts on one line, at most 40 characters. -->
  <xsl:template name="short">
    <xsl:param name="text"/>
    <xsl:value-of select="substring(normalize-space($text), 1, 40)"/>
  </xsl:template>
</xsl:stylesheet>
