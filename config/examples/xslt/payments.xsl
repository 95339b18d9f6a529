<?xml version="1.0"?>
<!-- One plain element a payment. Amounts are passed through as text: sums belong to the mapping. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform" xmlns:o="urn:example:orders" exclude-result-prefixes="o">
  <xsl:import href="text.xsl"/>
  <xsl:output method="xml" indent="yes"/>
  <xsl:strip-space elements="*"/>
  <xsl:param name="bank">DE</xsl:param>
  <xsl:key name="branch" match="o:Branch" use="@no"/>

  <xsl:template match="/o:Orders">
    <xsl:if test="count(//o:Order) != o:Count">
      <xsl:message terminate="yes">Count says <xsl:value-of select="o:Count"/>, there are <xsl:value-of select="count(//o:Order)"/> orders</xsl:message>
    </xsl:if>
    <payments>
      <xsl:apply-templates select=".//o:Order[@state != 'void']"/>
    </payments>
  </xsl:template>

  <xsl:template match="o:Order">
    <payment id="{../@no}-{@no}">
      <account><xsl:value-of select="concat($bank, key('branch', ../@no)/@account)"/></account>
      <amount currency="{o:Money/@currency}">
        <xsl:if test="@direction = 'out'">-</xsl:if>
        <xsl:value-of select="o:Money"/>
      </amount>
      <booked><xsl:value-of select="o:Time"/></booked>
      <xsl:if test="o:Text">
        <purpose>
          <xsl:call-template name="short"><xsl:with-param name="text" select="o:Text"/></xsl:call-template>
        </purpose>
      </xsl:if>
    </payment>
  </xsl:template>
</xsl:stylesheet>
